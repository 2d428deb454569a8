//! [`Store`]: a store on the connections of one role, and whether it can be reached.
//!
//! Thread: the bridge's; see the crate. What is asked of it say the modules that give it a port, each for its own [`Store`].

use std::marker::PhantomData;

use lynk_model::port::{LastFault, StoreFault};

use crate::database::Database;
use crate::{Connect, Fault, OpenError};

/// See the module. Clones share the connections; each keeps its own last failure.
pub struct Store<P> {
    pub(crate) database: Database,
    port: PhantomData<fn() -> P>,
}

impl<P> Clone for Store<P> {
    fn clone(&self) -> Self {
        Self { database: self.database.clone(), port: PhantomData }
    }
}

impl<P> Store<P> {
    /// Sets the store up; connects to nothing yet, so that a server starts while its database is away.
    ///
    /// # Errors
    /// A file or a setting that cannot be used.
    pub fn new(connect: &Connect) -> Result<Self, OpenError> {
        Ok(Self { database: Database::new(connect)?, port: PhantomData })
    }

    /// Whether the database can be reached with this identity, and its schema is one for this program.
    ///
    /// # Errors
    /// Why not.
    pub async fn check(&self) -> Result<(), Fault> {
        self.database.check().await
    }

    /// The last failure since it was asked for, if there was one.
    #[must_use]
    pub fn take_fault(&self) -> Option<Fault> {
        self.database.take_fault()
    }
}

impl<P> LastFault for Store<P> {
    fn last_fault(&self) -> Option<StoreFault> {
        self.take_fault().map(StoreFault::from)
    }
}
