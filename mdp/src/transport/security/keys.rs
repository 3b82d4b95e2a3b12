//! CURVE keys as text.

use std::fmt;
use std::str::FromStr;

use omq_tokio::{CurveKeypair, CurvePublicKey, CurveSecretKey};
use playhouse_engine::{Error, Result};
use serde::{Deserialize, Serialize};

/// A public CURVE key. Its text is 40 characters of Z85.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey(CurvePublicKey);

/// A secret CURVE key and the public one that belongs to it. It never shows the secret but in [`Keys::secret_text`].
#[derive(Clone)]
pub struct Keys(CurveKeypair);

impl Keys {
    /// Makes new keys, unlike any other.
    #[must_use]
    pub fn generate() -> Self {
        Self(CurveKeypair::generate())
    }

    /// Takes keys as they stand in a file.
    ///
    /// # Errors
    /// `Malformed` where one is not 40 characters of Z85, or the two do not belong together.
    pub fn from_text(public: &str, secret: &str) -> Result<Self> {
        let public: PublicKey = public.parse()?;
        // The text of a secret is never shown.
        let malformed = |_| Error::malformed("expected a secret key of 40 characters of Z85");
        let secret = CurveSecretKey::from_z85(secret).map_err(malformed)?;
        if secret.derive_public() != public.0 {
            return Err(Error::malformed(format!("the secret key does not belong to the public key `{public}`")));
        }
        Ok(Self(CurveKeypair { public: public.0, secret }))
    }

    /// Returns the key that others may know.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.public)
    }

    /// Returns the secret key as text, for a file that nobody else may read.
    #[must_use]
    pub fn secret_text(&self) -> String {
        self.0.secret.to_z85()
    }

    pub(crate) fn pair(&self) -> CurveKeypair {
        self.0.clone()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Keys({})", self.public())
    }
}

impl PublicKey {
    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(CurvePublicKey::from_bytes(bytes))
    }

    pub(crate) fn key(self) -> CurvePublicKey {
        self.0
    }
}

impl FromStr for PublicKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        CurvePublicKey::from_z85(text).map(Self).map_err(|_| {
            let shown: String = text.chars().take(60).collect();
            Error::malformed(format!("expected a public key of 40 characters of Z85, found `{}`", shown.escape_debug()))
        })
    }
}

impl TryFrom<String> for PublicKey {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.to_string()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.to_z85())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{self}`")
    }
}
