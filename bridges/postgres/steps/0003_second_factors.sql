-- Authenticator apps. `sealed` is the secret under a key that is not here; `confirmed` is NULL while it waits for its first code; no code of
-- `last_step` or of an earlier one is good.
CREATE TABLE accounts.factors (
    user_id uuid PRIMARY KEY,
    sealed bytea NOT NULL,
    enrolled bigint NOT NULL,
    confirmed bigint,
    last_step bigint NOT NULL
);

-- Recovery codes that were not used, as keyed hashes.
CREATE TABLE accounts.recovery (
    user_id uuid NOT NULL,
    proof bytea NOT NULL CHECK (octet_length(proof) = 32),
    PRIMARY KEY (user_id, proof)
);

CREATE TABLE accounts.suspended (
    user_id uuid PRIMARY KEY,
    since bigint NOT NULL
);
