//! Which version of a session the core has seen, so that reading it again costs next to nothing.
//!
//! A tag is remembered only with an answer that was handed over, so that [`Answer::NotModified`]
//! always means "as I told you".
//!
//! [`Answer::NotModified`]: crate::model::calls::Answer::NotModified

use crate::model::ids::SessionId;
use std::sync::{Mutex, PoisonError};

/// An agent serves one session at a time and may still be letting go of another.
const KEPT: usize = 4;

/// The tags of the last few sessions, the latest first.
#[derive(Debug, Default)]
pub(super) struct Etags(Mutex<Vec<(SessionId, String)>>);

impl Etags {
    pub(super) fn get(&self, session: &SessionId) -> Option<String> {
        self.lock().iter().find(|(of, _)| of == session).map(|(_, etag)| etag.clone())
    }

    /// Remembers the tag of what was just handed over; without one, nothing is known any more.
    pub(super) fn set(&self, session: &SessionId, etag: Option<String>) {
        let mut kept = self.lock();
        kept.retain(|(of, _)| of != session);
        if let Some(etag) = etag {
            kept.insert(0, (session.clone(), etag));
            kept.truncate(KEPT);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(SessionId, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_kept_and_the_latest_counts() {
        let etags = Etags::default();
        let ids: Vec<SessionId> = (0..6).map(|n| format!("s{n}").parse().unwrap()).collect();
        for id in &ids {
            etags.set(id, Some(format!("\"{id}\"")));
        }
        assert_eq!(etags.get(&ids[0]), None);
        assert_eq!(etags.get(&ids[5]).as_deref(), Some("\"s5\""));
        etags.set(&ids[5], Some("\"new\"".into()));
        assert_eq!(etags.get(&ids[5]).as_deref(), Some("\"new\""));
        etags.set(&ids[5], None);
        assert_eq!(etags.get(&ids[5]), None);
        assert_eq!(etags.lock().len(), KEPT - 1);
    }
}
