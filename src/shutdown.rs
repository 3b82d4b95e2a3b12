//! When a process is told to end.

/// Waits for the first SIGINT (Ctrl-C) or SIGTERM, for [`Flow::run_until`](crate::Flow::run_until). From the call on,
/// these signals no longer end the process by themselves.
///
/// # Panics
/// Outside of a tokio runtime with I/O enabled.
#[cfg(unix)]
pub fn shutdown_signal() -> impl Future<Output = ()> + Send {
    use tokio::signal::unix::{SignalKind, signal};

    // Where a signal cannot be caught it still does what it always did: it ends the process.
    let caught = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
    async move {
        let [interrupt, terminate] = caught.map(|caught| async move {
            match caught {
                Ok(mut signals) => signals.recv().await,
                Err(_) => std::future::pending().await,
            }
        });
        tokio::select! {
            _ = interrupt => {}
            _ = terminate => {}
        }
    }
}

/// Waits for the first Ctrl-C, for [`Flow::run_until`](crate::Flow::run_until).
#[cfg(not(unix))]
pub fn shutdown_signal() -> impl Future<Output = ()> + Send {
    async {
        // Where the signal cannot be caught it still does what it always did: it ends the process.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}
