//! A raw hyper server that answers each request with its own body: its accept loop, HTTP/1.1, TCP_NODELAY, no limits.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;

use crate::Flavor;

/// Serves until the process ends.
///
/// # Errors
/// Where the listener fails.
pub fn serve(listener: TcpListener) -> io::Result<()> {
    Flavor::MultiThread.runtime().block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(async move {
                let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(echo));
                // A client that goes away is no news.
                let _ = connection.await;
            });
        }
    })
}

async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let content_type = request.headers().get(hyper::header::CONTENT_TYPE).cloned();
    let mut response = match request.into_body().collect().await {
        Ok(body) => Response::new(Full::new(body.to_bytes())),
        Err(_) => {
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::BAD_REQUEST;
            response
        }
    };
    if let Some(content_type) = content_type {
        response.headers_mut().insert(hyper::header::CONTENT_TYPE, content_type);
    }
    Ok(response)
}
