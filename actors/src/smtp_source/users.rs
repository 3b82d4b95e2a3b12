//! Who may log in.

use playhouse_engine::{Error, Result, Text};

#[cfg(feature = "auth")]
use crate::basic_auth::BasicAuth;

/// The users of a source, where it has some.
#[derive(Debug, Default)]
pub(crate) struct Users {
    #[cfg(feature = "auth")]
    pub(crate) auth: Option<BasicAuth>,
}

impl Users {
    pub(crate) fn has_some(&self) -> bool {
        #[cfg(feature = "auth")]
        return self.auth.is_some();
        #[cfg(not(feature = "auth"))]
        false
    }

    /// Returns the user's name where the password is right.
    pub(crate) async fn check(&self, user: &str, password: &str) -> Result<Text> {
        #[cfg(feature = "auth")]
        if let Some(auth) = &self.auth {
            return auth.verify(user, password).await;
        }
        let _ = (user, password);
        Err(Error::unauthorized("there are no users"))
    }
}
