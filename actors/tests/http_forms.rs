//! Answers in the form that the client wants, and in envelopes: as Compysition's server gave them.

#![cfg(all(feature = "http", feature = "convert"))]
#![allow(clippy::unwrap_used)]

mod http_support;

use http_support::{Answer, Server};
use playhouse_actors::http::{HttpRequest, Route};
use playhouse_actors::{FormBody, JsonToXml, XmlToJson};
use playhouse_engine::{Error, Event, Format, Result, map};

/// A service that checks what comes by its type, and answers with it.
async fn service() -> Server {
    let route = |route: Route| route.by_accept().enveloped();
    Server::start(
        |server| {
            server
                .route(route(Route::post("/{queue}").outbox("requests")).takes([
                    "application/json",
                    "application/xml",
                    "text/*",
                ]))
                .route(route(Route::post("/large/{length}").outbox("large")))
                .route(route(Route::post("/forms/new").outbox("forms")))
        },
        |director, http| {
            let queues = director.register("queues", map(queue));
            let forms = director.register("forms", FormBody::default());
            let (json, xml) = (director.register("json", Check(false)), director.register("xml", Check(true)));
            let passes = |media: &'static str| {
                playhouse_engine::filter(move |event: &Event| {
                    let named = HttpRequest::of(event).unwrap().header("content-type").unwrap_or_default().into_owned();
                    named.contains(media)
                })
            };
            let rest = playhouse_engine::filter(|event: &Event| {
                let named = HttpRequest::of(event).unwrap().header("content-type").unwrap_or_default().into_owned();
                !named.contains("json") && !named.contains("xml")
            });
            let (is_json, is_xml) =
                (director.register("is json", passes("json")), director.register("is xml", passes("xml")));
            let is_other = director.register("is other", rest);
            director.connect(http.port("requests"), queues);
            director.connect(queues, [is_json, is_xml, is_other]);
            director.connect(http.port("forms"), forms);
            director.connect(forms, http);
            director.connect(is_json, json);
            director.connect(is_xml, xml);
            for actor in [json, xml, is_other] {
                director.connect(actor, http);
            }
            let large = director.register(
                "large",
                map(|event: &Event| {
                    let length = HttpRequest::of(event).unwrap().variable("length").unwrap().parse().unwrap();
                    event.derive(serde_json::json!({"a": vec![1; length]}))
                }),
            );
            director.connect(http.port("large"), large);
            director.connect(large, http);
            director.connect_default_error(http);
        },
    )
    .await
}

fn queue(event: &Event) -> Result<Event> {
    match HttpRequest::of(event).unwrap().variable("queue").as_deref() {
        Some("echo") => Ok(event.clone()),
        Some("fails") => Err(Error::internal("boom")),
        other => Err(Error::not_found(format!("service `{}` not found", other.unwrap_or_default()))),
    }
}

/// Passes on what can be read as what it says.
struct Check(bool);

impl playhouse_engine::Actor for Check {
    fn ports(&self) -> playhouse_engine::Ports {
        playhouse_engine::Ports::pipe(Format::ANY, Format::ANY)
    }

    async fn handle(&self, event: &Event, out: &mut playhouse_engine::Outbox) -> Result<()> {
        if event.payload().format() != Format::EMPTY {
            if self.0 {
                playhouse_engine::testing::feed(&XmlToJson::default(), event.clone()).await?;
            } else {
                playhouse_engine::testing::feed(&JsonToXml::default(), event.clone()).await?;
            }
        }
        out.push(event);
        Ok(())
    }
}

fn ask(server: &Server, path: &str, content_type: &str, accept: &str, body: &str) -> Answer {
    let accept = if accept.is_empty() { String::new() } else { format!("Accept: {accept}\r\n") };
    let length = body.len();
    server.connect().ask(format!(
        "POST {path} HTTP/1.1\r\nHost: test\r\nContent-Type: {content_type}\r\n{accept}Content-Length: {length}\r\n\r\n{body}"
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_answer_is_what_compysition_gave() {
    let server = service().await;
    let (json, xml, text) = ("application/json", "application/xml", "text/plain");
    for (content_type, accept, body, status, answer) in [
        (json, "", r#"{"a":1}"#, 200, r#"{"data":{"a":1}}"#),
        (json, "", "[1,2]", 200, r#"{"data":[1,2]}"#),
        (json, "", r#"{"data":[1]}"#, 200, r#"{"data":[1]}"#),
        (text, "", "hello", 200, r#"{"data":"hello"}"#),
        (json, "", "", 200, r#"{"data":{}}"#),
        (json, xml, r#"{"a":1}"#, 200, "<a>1</a>"),
        (xml, json, "<a>1</a>", 200, r#"{"data":{"a":"1"}}"#),
        (xml, "", "<a>1</a>", 200, "<a>1</a>"),
        (xml, "nothing that is known", "<a>1</a>", 200, "<a>1</a>"),
        (json, "text/xml;q=0.9, application/json;q=0.8", r#"{"a":1}"#, 200, "<a>1</a>"),
    ] {
        let got = ask(&server, "/echo", content_type, accept, body);
        assert_eq!((got.status, &*got.body), (status, answer), "{content_type} {accept} {body}");
        let form = if answer.starts_with('<') { "application/xml" } else { "application/json" };
        assert_eq!((got.header("content-type"), got.header("vary")), (Some(form), Some("accept")));
    }
    let got = ask(&server, "/echo", json, "", "{bad");
    assert_eq!((got.status, got.header("content-type")), (400, Some(json)));
    assert!(got.body.starts_with(r#"{"errors":[{"message":"the payload is not JSON"#), "{got:?}");
    let got = ask(&server, "/echo", xml, "", "<bad");
    assert_eq!((got.status, got.header("content-type")), (400, Some(xml)));
    assert!(got.body.starts_with("<errors><error><message>"), "{got:?}");
    let got = ask(&server, "/nosuch", json, "", "{}");
    assert_eq!(got.status, 404);
    assert!(got.body.contains("service `nosuch` not found"), "{got:?}");
    let got = ask(&server, "/fails", json, "", "{}");
    assert_eq!(got.status, 500);
    assert!(got.body.starts_with(r#"{"errors":[{"message":"#) && !got.body.contains("boom"), "{got:?}");
    let got = ask(&server, "/echo", "image/png", "", "png");
    assert_eq!(got.status, 415);
    let got = server.connect().ask(http_support::get("/echo"));
    assert_eq!((got.status, got.header("allow")), (405, Some("POST, OPTIONS")));
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_is_answered_in_an_envelope() {
    let server = service().await;
    let form = "application/x-www-form-urlencoded";
    let got = ask(&server, "/forms/new", form, "", "name=Ada&tag=a&tag=b");
    assert_eq!((got.status, &*got.body), (200, r#"{"data":{"name":"Ada","tag":["a","b"]}}"#));
    let got = ask(&server, "/forms/new", form, "application/xml", "name=Ada");
    assert_eq!((got.status, &*got.body), (200, "<name>Ada</name>"));
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_answer_is_converted_too() {
    let server = service().await;
    let got = ask(&server, "/large/100000", "application/json", "application/xml", "{}");
    assert_eq!(got.body.matches("<a>1</a>").count(), 100_000);
    server.stop().await.unwrap();
}
