//! A raw hyper server that writes each body into a file by hand.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use crate::Flavor;

/// Serves until the process ends.
///
/// # Errors
/// Where the listener fails.
pub fn serve(listener: TcpListener) -> io::Result<()> {
    let folder = Arc::new(tempfile::tempdir()?);
    Flavor::MultiThread.runtime().block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let folder = folder.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| answer(folder.clone(), request));
                // A client that goes away is no news.
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    })
}

async fn answer(folder: Arc<TempDir>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, text) = match store(&folder, request.into_body()).await {
        Ok(length) => (StatusCode::CREATED, length.to_string()),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    Ok(response)
}

async fn store(folder: &TempDir, mut body: Incoming) -> io::Result<u64> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let path = folder.path().join(NUMBER.fetch_add(1, Ordering::Relaxed).to_string());
    let mut file = File::create(&path).await?;
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(io::Error::other)?.into_data() {
            file.write_all(&data).await?;
        }
    }
    file.flush().await?;
    let length = file.metadata().await?.len();
    tokio::fs::remove_file(&path).await?;
    Ok(length)
}
