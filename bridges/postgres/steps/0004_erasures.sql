-- Accounts that were erased, and how far what their users said is taken back: rooms before `room`, in the order of ids, are done, and `room` is
-- up to `seq`.
CREATE TABLE accounts.erasures (
    user_id uuid PRIMARY KEY,
    begun bigint NOT NULL,
    room uuid NOT NULL,
    seq bigint NOT NULL,
    done bigint
);
CREATE INDEX names_freed ON accounts.names (freed) WHERE freed IS NOT NULL;
