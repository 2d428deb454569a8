-- `updated` is 0 for an account that nobody has changed. `words` are those of a program that knew how to make them: 0 for none.
ALTER TABLE accounts.accounts
    ADD COLUMN bio text NOT NULL DEFAULT '',
    ADD COLUMN avatar uuid,
    ADD COLUMN updated bigint NOT NULL DEFAULT 0,
    ADD COLUMN by_name boolean NOT NULL DEFAULT true,
    ADD COLUMN by_phone boolean NOT NULL DEFAULT false,
    ADD COLUMN words bigint NOT NULL DEFAULT 0;
CREATE INDEX accounts_without_words ON accounts.accounts (user_id) WHERE words = 0;

-- Words by which people are found, folded; those of people who want to be.
CREATE TABLE accounts.words (
    word text COLLATE "C" NOT NULL,
    user_id uuid NOT NULL,
    PRIMARY KEY (word, user_id)
);
CREATE INDEX words_by_user ON accounts.words (user_id, word);
