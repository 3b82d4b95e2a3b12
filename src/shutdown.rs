//! When a process is told to end.

/// Waits for the first SIGINT (Ctrl-C) or SIGTERM, for [`Flow::run_until`](crate::Flow::run_until). From the call on, the
/// first of these signals no longer ends the process by itself. A second one does, at once and with exit code 1: whoever
/// sends it does not want to wait for the flow to drain.
///
/// # Panics
/// Outside of a tokio runtime with I/O enabled.
pub fn shutdown_signal() -> impl Future<Output = ()> + Send {
    let mut signals = Signals::catch();
    async move {
        signals.next().await;
        // The task ends with the process: it has nothing that could be joined or lost.
        tokio::spawn(async move {
            signals.next().await;
            std::process::exit(1);
        });
    }
}

#[cfg(unix)]
struct Signals(Vec<tokio::signal::unix::Signal>);

#[cfg(unix)]
impl Signals {
    /// Where a signal cannot be caught it still does what it always did: it ends the process.
    fn catch() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        Self(
            [SignalKind::interrupt(), SignalKind::terminate()]
                .into_iter()
                .filter_map(|kind| signal(kind).ok())
                .collect(),
        )
    }

    async fn next(&mut self) {
        std::future::poll_fn(|context| {
            let caught = self.0.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
            if caught { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn catch() -> Self {
        Self
    }

    async fn next(&mut self) {
        // Where the signal cannot be caught it still does what it always did: it ends the process.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}
