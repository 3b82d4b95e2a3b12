//! Credentials that were right a short while ago, as keyed hashes.
//!
//! A look-up is on the path of each request: it takes no allocation, and a lock that is only read.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use playhouse_engine::Text;
use siphasher::sip128::{Hasher128, SipHasher24};
use tokio::time::Instant;

use super::BasicAuthSettings;

/// What credentials are known by: a keyed hash of their encoded form. Who does not know the key can neither find
/// credentials with the hash of others nor learn anything from the time that a comparison takes.
pub(super) type Tag = [u8; 16];

/// The users whose credentials were right a short while ago.
pub(super) struct Remembered {
    /// SipHash-2-4 with 128 bits: made to authenticate short inputs, and with about 30 ns the only one that a look-up for
    /// each request can afford beside the rest (BLAKE3 80 ns, BLAKE2s 210 ns).
    key: SipHasher24,
    most: usize,
    lifetime: Duration,
    // Written once for each check of a password, a million times rarer than it is read.
    users: RwLock<HashMap<Tag, Remembrance>>,
}

struct Remembrance {
    user: Text,
    until: Instant,
}

impl Remembered {
    pub(super) fn new(settings: &BasicAuthSettings) -> Self {
        // The standard library draws its keys from the operating system.
        let draw = || RandomState::new().build_hasher().finish();
        Self {
            key: SipHasher24::new_with_keys(draw(), draw()),
            most: settings.remembered,
            lifetime: settings.remembered_for,
            users: RwLock::default(),
        }
    }

    /// Returns what the credentials `token` are known by.
    pub(super) fn tag(&self, token: &str) -> Tag {
        let mut hasher = self.key;
        hasher.write(token.as_bytes());
        hasher.finish128().as_bytes()
    }

    /// Returns the user whose credentials are known by `tag`, unless they were forgotten.
    pub(super) fn user(&self, tag: Tag) -> Option<Text> {
        let users = self.users.read().unwrap_or_else(PoisonError::into_inner);
        let remembrance = users.get(&tag)?;
        (Instant::now() < remembrance.until).then(|| remembrance.user.clone())
    }

    /// Remembers that the credentials known by `tag` are right and are those of `user`. Where there is no room, who would
    /// be forgotten next is forgotten now.
    pub(super) fn remember(&self, tag: Tag, user: Text) {
        if self.most == 0 {
            return;
        }
        let now = Instant::now();
        let mut users = self.users.write().unwrap_or_else(PoisonError::into_inner);
        if users.len() >= self.most {
            users.retain(|_, remembrance| now < remembrance.until);
        }
        if users.len() >= self.most {
            let next = users.iter().min_by_key(|(_, remembrance)| remembrance.until).map(|(tag, _)| *tag);
            next.map(|tag| users.remove(&tag));
        }
        users.insert(tag, Remembrance { user, until: now + self.lifetime });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remembered(most: usize) -> Remembered {
        Remembered::new(&BasicAuthSettings { remembered: most, ..BasicAuthSettings::default() })
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_right_is_forgotten_in_time() {
        let remembered = remembered(2);
        let tag = remembered.tag("token");
        remembered.remember(tag, "ada".into());
        tokio::time::advance(Duration::from_secs(299)).await;
        assert_eq!(remembered.user(tag).as_deref(), Some("ada"));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(remembered.user(tag), None);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_are_remembered_than_there_is_room_for() {
        let remembered = remembered(3);
        for name in ["a", "b", "c", "d", "e"] {
            remembered.remember(remembered.tag(name), name.into());
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let known = |name| remembered.user(remembered.tag(name)).is_some();
        assert_eq!(["a", "b", "c", "d", "e"].map(known), [false, false, true, true, true]);
    }

    #[test]
    fn nothing_is_remembered_where_nothing_should_be() {
        let remembered = remembered(0);
        remembered.remember(remembered.tag("token"), "ada".into());
        assert_eq!(remembered.user(remembered.tag("token")), None);
    }

    #[test]
    fn each_actor_has_a_key_of_its_own() {
        assert_ne!(remembered(1).tag("token"), remembered(1).tag("token"));
    }
}
