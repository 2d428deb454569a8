-- Accounts whose `user.created` is not published. Written with the account, removed when the event is out.
CREATE TABLE accounts.outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id uuid NOT NULL UNIQUE,
    created bigint NOT NULL
);
