//! Work that takes too long for a thread of the runtime.

use playhouse_engine::{Error, Result};
use tokio::task::spawn_blocking;

/// Runs `work` on tokio's blocking pool, and waits for it.
pub(crate) async fn aside<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => Err(Error::cancelled("the work was given up").caused_by(error)),
    }
}
