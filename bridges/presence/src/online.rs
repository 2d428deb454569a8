//! The reader's side: who is online, over all processes that mirror it.

use std::fmt;
use std::sync::Arc;

use lynk_domain::UserId;
use lynk_model::StoreError;
use lynk_model::port::{Ephemeral, PRESENCE_PER_CALL_MAX};

use crate::Clock;

/// Asks the mirror.
#[derive(Clone)]
pub struct Online {
    store: Arc<dyn Ephemeral>,
    clock: Clock,
}

impl fmt::Debug for Online {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Online").finish_non_exhaustive()
    }
}

impl Online {
    /// A reader of what bridges tell `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Ephemeral>, clock: Clock) -> Self {
        Self { store, clock }
    }

    /// Which of `users` have a connection somewhere, in their order; each call of the store asks for
    /// [`PRESENCE_PER_CALL_MAX`]. A picture from a moment ago, in which somebody may be missing: good for leaving out what would
    /// disturb, never for refusing something.
    ///
    /// # Errors
    /// The store is away. Then nothing is known of anybody.
    pub async fn of(&self, users: &[UserId]) -> Result<Vec<bool>, StoreError> {
        let mut online = Vec::with_capacity(users.len());
        for some in users.chunks(PRESENCE_PER_CALL_MAX) {
            online.extend(self.store.mirrored_presence((self.clock)(), some.to_vec()).await?);
        }
        Ok(online)
    }
}
