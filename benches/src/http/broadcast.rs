//! Server-sent events by hand: hyper and a broadcast channel of tokio, each event encoded once.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;

use bytes::Bytes;
use futures::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{Sender, channel};

use crate::Flavor;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Serves until the process ends.
///
/// # Errors
/// Where the listener fails.
pub fn serve(listener: TcpListener) -> io::Result<()> {
    let (sender, _) = channel(256);
    Flavor::MultiThread.runtime().block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let sender = sender.clone();
            tokio::spawn(async move {
                let service = service_fn(|request| answer(request, &sender));
                // A client that goes away is no news.
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    })
}

async fn answer(request: Request<Incoming>, sender: &Sender<Bytes>) -> Result<Response<Body>, Infallible> {
    if request.method() == Method::GET {
        let events = stream::unfold(sender.subscribe(), async |mut receiver| {
            loop {
                match receiver.recv().await {
                    Ok(event) => return Some((Ok(Frame::data(event)), receiver)),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        });
        let mut response = Response::new(StreamBody::new(events).boxed_unsync());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        return Ok(response);
    }
    let mut response = Response::new(Full::default().boxed_unsync());
    *response.status_mut() = match request.into_body().collect().await {
        Ok(body) => {
            let event = [b"data: ", &body.to_bytes()[..], b"\n\n"].concat();
            // Nobody may be listening.
            let _ = sender.send(Bytes::from(event));
            StatusCode::ACCEPTED
        }
        Err(_) => StatusCode::BAD_REQUEST,
    };
    Ok(response)
}
