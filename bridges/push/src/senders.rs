//! [`Senders`]: the provider of each device.

use lynk_model::notify::{Provider, PushCause};
use lynk_model::port::{Delivered, PushNote, PushSender};

use crate::{ConsolePush, Fcm};

/// The providers that a server has.
#[derive(Debug, Default)]
pub struct Senders {
    /// For development.
    pub console: Option<ConsolePush>,
    /// Firebase.
    pub fcm: Option<Fcm>,
}

impl Senders {
    /// Whether devices of a provider can be reached.
    #[must_use]
    pub fn has(&self, provider: Provider) -> bool {
        match provider {
            Provider::Console => self.console.is_some(),
            Provider::Fcm => self.fcm.is_some(),
        }
    }
}

impl PushSender for Senders {
    async fn ready(&self, count: usize) -> Result<(), PushCause> {
        match &self.fcm {
            Some(fcm) => fcm.ready(count).await,
            None => Ok(()),
        }
    }

    async fn send(&self, note: &PushNote) -> Delivered {
        match note.device.provider {
            Provider::Console => match &self.console {
                Some(console) => console.send(note).await,
                None => Delivered::Refused(PushCause::Other),
            },
            Provider::Fcm => match &self.fcm {
                Some(fcm) => fcm.send(note).await,
                None => Delivered::Refused(PushCause::Other),
            },
        }
    }
}
