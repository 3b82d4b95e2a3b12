//! Work that takes too long for a thread of the runtime.

use playhouse_engine::{Error, Result};
use tokio::task::spawn_blocking;

/// Runs `work`, which is `what`, on tokio's blocking pool, and waits for it.
///
/// # Errors
/// Those of the work; `Cancelled` where it was given up.
pub(crate) async fn aside<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => Err(Error::cancelled(format!("{what} was given up")).caused_by(error)),
    }
}
