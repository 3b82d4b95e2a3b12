//! Mail that goes out: what aiosmtpd takes is read by Python's email, and what it refuses is an error that a retry understands.

#![cfg(feature = "smtp-out")]
#![allow(clippy::unwrap_used, reason = "a test may")]

mod smtp_support;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use playhouse_actors::{MailForm, RefusedRecipients, SmtpSink, SmtpSinkSettings, SmtpTls};
use playhouse_engine::testing::{self, Probe};
use playhouse_engine::{Error, Event, Kind, Policy, Result, Retry, Xml, assert_ledger};
use serde_json::{Value, json};
use smtp_support::{Certificate, Python};

/// aiosmtpd, and where it listens.
struct Server {
    python: Python,
    port: u64,
}

impl Server {
    fn start(settings: &Value) -> Self {
        let mut python = Python::with_aiosmtpd("smtp_receive.py", &[&settings.to_string()]);
        let port = python.line().unwrap()["port"].as_u64().unwrap();
        Self { python, port }
    }

    fn sink(&self, settings: SmtpSinkSettings) -> SmtpSink {
        SmtpSink::to(&format!("127.0.0.1:{}", self.port), settings).unwrap()
    }

    /// Sends an event, and returns what the server read.
    async fn sent(&mut self, event: Event, settings: SmtpSinkSettings) -> Value {
        let outputs = testing::feed(&self.sink(settings), event).await.unwrap();
        assert_eq!((outputs.len(), outputs[0].outbox.as_str()), (1, "outbox"));
        let mail = self.python.line().unwrap();
        assert_eq!(
            outputs[0].event.attribute("mail.message-id").unwrap().to_string(),
            mail["message_id"].as_str().unwrap()
        );
        assert_eq!((&mail["defects"], &mail["seven_bit"], &mail["date"]), (&json!([]), &json!(true), &json!("True")));
        mail
    }
}

fn settings() -> SmtpSinkSettings {
    SmtpSinkSettings { from: Some("Service <service@x.test>".to_owned()), ..SmtpSinkSettings::default() }
}

fn to(address: &str) -> Event {
    Event::new("text\n").with_attribute("mail.to", address.to_owned()).with_attribute("mail.subject", "a subject")
}

#[track_caller]
fn kind<T: std::fmt::Debug>(outcome: Result<T>) -> (Kind, String) {
    let error: Error = outcome.unwrap_err();
    (error.kind(), error.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_goes_out_as_the_attributes_say() {
    let mut server = Server::start(&json!({}));
    let event = Event::new("Grüße, 日本語 🎭\n.\n..\nend\n")
        .with_attribute(
            "mail.to",
            json!(["Bob Jürgens <bob@x.test>", {"address": "c@x.test", "name": "Доктор Ж., \"Q\""}]),
        )
        .with_attribute("mail.cc", "d@x.test")
        .with_attribute("mail.bcc", "secret@x.test")
        .with_attribute("mail.reply-to", "answers@x.test")
        .with_attribute("mail.subject", format!("Grüße 🎭 {}", "lang ".repeat(40)))
        .with_attribute("mail.html", "<p>Grüße</p>\n");
    let headers = [("X-Tag".to_owned(), "é ü".to_owned())].into();
    let mail = server.sent(event, SmtpSinkSettings { headers, ..settings() }).await;
    assert_eq!(mail["mail_from"], "service@x.test");
    assert_eq!(mail["rcpt_tos"], json!(["bob@x.test", "c@x.test", "d@x.test", "secret@x.test"]));
    assert_eq!(mail["from"], json!([["Service", "service@x.test"]]));
    assert_eq!(mail["to"], json!([["Bob Jürgens", "bob@x.test"], ["Доктор Ж., \"Q\"", "c@x.test"]]));
    assert_eq!((&mail["cc"], &mail["bcc"]), (&json!([["", "d@x.test"]]), &json!([])));
    assert_eq!(mail["reply_to"], json!([["", "answers@x.test"]]));
    assert_eq!(mail["subject"].as_str().unwrap().trim_end(), format!("Grüße 🎭 {}", "lang ".repeat(40)).trim_end());
    assert_eq!(mail["text"], "Grüße, 日本語 🎭\n.\n..\nend\n");
    assert_eq!(mail["html"], "<p>Grüße</p>\n");
    assert_eq!(mail["extra"], json!({"X-Tag": "é ü"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn json_and_xml_payloads_are_mails() {
    let mut server = Server::start(&json!({}));
    let bytes = STANDARD.encode((0..=255).cycle().take(100_000).collect::<Vec<u8>>());
    let event = Event::new(json!({
        "from": "Ada <ada@x.test>", "to": "bob@x.test", "subject": "files", "text": "see", "html": "<p>see</p>",
        "attachments": [
            {"name": "Übersicht – 日本 (1).bin", "type": "application/octet-stream", "base64": bytes},
            {"name": "a.csv", "type": "text/csv; charset=utf-8", "base64": STANDARD.encode("a;ü\r\n")},
        ],
    }));
    let form = MailForm::Json;
    let mail = server.sent(event, SmtpSinkSettings { form, ..SmtpSinkSettings::default() }).await;
    assert_eq!(mail["from"], json!([["Ada", "ada@x.test"]]));
    assert_eq!(mail["text"].as_str().map(str::trim_end), Some("see"));
    assert_eq!(
        mail["attachments"],
        json!([
            ["Übersicht – 日本 (1).bin", "application/octet-stream", bytes],
            ["a.csv", "text/csv", STANDARD.encode("a;ü\r\n")],
        ])
    );
    let document = "<m><To>bob@x.test, c@x.test</To><From>ada</From><Subject>Größe</Subject><X-Order>7</X-Order>\
                    <Body>one &amp; two\n</Body></m>";
    let (form, domain) = (MailForm::Xml, Some("y.test".to_owned()));
    let event = Event::new(Xml::new(document));
    let mail = server.sent(event, SmtpSinkSettings { form, domain, ..SmtpSinkSettings::default() }).await;
    assert_eq!((&mail["mail_from"], &mail["subject"]), (&json!("ada@y.test"), &json!("Größe")));
    assert_eq!((&mail["rcpt_tos"], &mail["text"]), (&json!(["bob@x.test", "c@x.test"]), &json!("one & two\n")));
    assert_eq!(mail["extra"], json!({"X-Order": "7"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_kept_and_one_that_was_closed_is_made_anew() {
    let mut server = Server::start(&json!({}));
    let sink = server.sink(settings());
    let mut peers = Vec::new();
    for _ in 0..3 {
        testing::feed(&sink, to("bob@x.test")).await.unwrap();
        peers.push(server.python.line().unwrap()["peer"].clone());
    }
    assert!(peers.iter().all(|peer| *peer == peers[0]), "{peers:?}");
    // It is killed, and is back on the same port.
    server.python.kill();
    assert_eq!(kind(testing::feed(&sink, to("bob@x.test")).await).0, Kind::Unavailable);
    let mut server = Server::start(&json!({"port": server.port}));
    testing::feed(&sink, to("bob@x.test")).await.unwrap();
    assert_ne!(server.python.line().unwrap()["peer"], peers[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_refuses_is_an_error_of_its_kind_and_the_next_mail_goes_through() {
    let mut server = Server::start(&json!({}));
    let sink =
        server.sink(SmtpSinkSettings { data_deadline: Duration::from_millis(700), ..SmtpSinkSettings::default() });
    let from = |sender: &str, recipients: &str| to(recipients).with_attribute("mail.from", format!("{sender}@x.test"));
    for (sender, recipients, expected) in [
        ("a", "r550@x.test", Kind::Unprocessable),
        ("a", "r450@x.test", Kind::Unavailable),
        ("a", "r452@x.test", Kind::Overloaded),
        ("a", "bob@x.test, r550@x.test", Kind::Unprocessable),
        ("a", "bob@x.test, r451@x.test", Kind::Unavailable),
        ("d451", "bob@x.test", Kind::Unavailable),
        ("d554", "bob@x.test", Kind::Unprocessable),
        ("d552", "bob@x.test", Kind::TooLarge),
        ("d535", "bob@x.test", Kind::Unauthorized),
        ("close", "bob@x.test", Kind::Unavailable),
        ("slow", "bob@x.test", Kind::Timeout),
    ] {
        let (found, message) = kind(testing::feed(&sink, from(sender, recipients)).await);
        assert_eq!(found, expected, "{sender} {recipients}: {message}");
        testing::feed(&sink, from("good", "bob@x.test")).await.unwrap();
        // Nobody got any of the others.
        assert_eq!(server.python.line().unwrap()["mail_from"], "good@x.test");
    }
    let (_, message) = kind(testing::feed(&sink, from("a", "bob@x.test, r550@x.test, r451@x.test")).await);
    assert!(
        message.ends_with(
            "refused `r550@x.test` (550 as you wish), `r451@x.test` (451 as you wish); the mail was sent to nobody"
        ),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_settings_say_so_those_who_are_not_refused_get_their_mail() {
    let mut server = Server::start(&json!({}));
    let refused_recipients = RefusedRecipients::Send;
    let sink = server.sink(SmtpSinkSettings { refused_recipients, ..settings() });
    let mut probe = Probe::with_policy(sink, Policy { retry: Retry::attempts(3), ..Policy::default() }).await.unwrap();
    probe.send(to("bob@x.test, r451@x.test, carla@x.test, r550@x.test")).await.unwrap();
    let partial = probe.output_from("partial").await.unwrap();
    assert_eq!(server.python.line().unwrap()["rcpt_tos"], json!(["bob@x.test", "carla@x.test"]));
    assert_eq!(partial.attribute("mail.accepted").unwrap().to_string(), "[\"bob@x.test\",\"carla@x.test\"]");
    let refused: Value = serde_json::from_str(&partial.attribute("mail.refused").unwrap().to_string()).unwrap();
    let refusal = |address: &str, code: u16| json!({"address": address, "code": code, "message": "as you wish"});
    assert_eq!(refused, json!([refusal("r451@x.test", 451), refusal("r550@x.test", 550)]));
    probe.send(to("bob@x.test")).await.unwrap();
    probe.output().await.unwrap();
    // That nobody is left is an error all the same.
    probe.send(to("r550@x.test")).await.unwrap();
    assert_eq!(probe.error().await.unwrap().error().unwrap().kind(), Kind::Unprocessable);
    let ledger = probe.stop().await.unwrap();
    assert_ledger!(ledger, failed = 1, dropped = 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_without_a_recipient_fails() {
    let sink = SmtpSink::to("127.0.0.1:1", settings()).unwrap();
    let (found, message) = kind(testing::feed(&sink, Event::new("x")).await);
    assert_eq!(found, Kind::Malformed, "{message}");
    let (found, _) =
        kind(testing::feed(&sink, to("bob@x.test").with_attribute("mail.subject", "a\r\nBcc: e@x.test")).await);
    assert_eq!(found, Kind::Malformed);
    // And where nobody listens, it is worth another try.
    assert_eq!(kind(testing::feed(&sink, to("bob@x.test")).await).0, Kind::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_and_passwords_are_as_the_settings_say() {
    let certificate = Certificate::new();
    let with = |tls: &str| json!({"cert": certificate.cert(), "key": certificate.key(), "tls": tls, "users": {"ada": "lovelace"}});
    let login = |tls: SmtpTls, password: &str| SmtpSinkSettings {
        tls: Some(tls),
        authorities: Some(certificate.cert().into()),
        user: Some("ada".to_owned()),
        password: Some(password.to_owned()),
        ..settings()
    };
    let mut starttls = Server::start(&with("starttls"));
    let mail = starttls.sent(to("bob@x.test"), login(SmtpTls::Starttls, "lovelace")).await;
    assert_eq!((&mail["tls"], &mail["user"]), (&json!(true), &json!("ada")));
    let wrong = starttls.sink(login(SmtpTls::Starttls, "byron"));
    let (found, message) = kind(testing::feed(&wrong, to("bob@x.test")).await);
    assert!(found == Kind::Unauthorized && !message.contains("byron"), "{message}");
    let nobody = SmtpSinkSettings { user: None, password: None, ..login(SmtpTls::Starttls, "") };
    let (found, message) = kind(testing::feed(&starttls.sink(nobody), to("bob@x.test")).await);
    assert_eq!(found, Kind::Unauthorized, "{message}");
    // A certificate that nobody vouches for is not taken.
    let other = Certificate::new();
    let stranger = SmtpSinkSettings { authorities: Some(other.cert().into()), ..login(SmtpTls::Starttls, "lovelace") };
    let (found, message) = kind(testing::feed(&starttls.sink(stranger), to("bob@x.test")).await);
    assert!(found == Kind::Unavailable && message.contains("did not agree on TLS"), "{message}");
    let mut implicit = Server::start(&json!({"cert": certificate.cert(), "key": certificate.key(), "tls": "implicit"}));
    let plain = SmtpSinkSettings { user: None, password: None, ..login(SmtpTls::Implicit, "") };
    assert_eq!(implicit.sent(to("bob@x.test"), plain).await["tls"], true);
    // Where `STARTTLS` is not offered, nothing is sent.
    let without = Server::start(&json!({}));
    let (found, message) =
        kind(testing::feed(&without.sink(login(SmtpTls::Starttls, "lovelace")), to("bob@x.test")).await);
    assert!(found == Kind::Unsupported && message.contains("does not offer `STARTTLS`"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_of_any_script_go_out_where_the_server_takes_them() {
    let mut server = Server::start(&json!({}));
    let outputs = testing::feed(&server.sink(settings()), to("Jürgen <jürgen@x.test>")).await.unwrap();
    assert_eq!(outputs.len(), 1);
    let mail = server.python.line().unwrap();
    assert_eq!(mail["rcpt_tos"], json!(["jürgen@x.test"]));
    let options: Vec<&str> = mail["options"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(options.contains(&"SMTPUTF8") && options.contains(&"BODY=8BITMIME"), "{options:?}");
}

/// A server that says word for word what a test wants to hear: one answer for each line that comes, and a word of its own at first.
fn scripted(script: Vec<&'static str>) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let told = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut lines = BufReader::new(socket.try_clone().unwrap()).lines();
        let mut told = Vec::new();
        for answer in script {
            if socket.write_all(answer.as_bytes()).is_err() {
                break;
            }
            match lines.next() {
                Some(Ok(line)) => told.push(line),
                _ => break,
            }
        }
        told
    });
    (address, told)
}

#[test]
fn times_that_make_no_sense_are_refused_all_at_once() {
    let wrong = SmtpSinkSettings {
        connect_deadline: Duration::ZERO,
        command_deadline: Duration::MAX,
        data_deadline: Duration::MAX,
        idle_time: Duration::MAX,
        ..settings()
    };
    let error = SmtpSink::to("localhost:25", wrong).unwrap_err();
    for part in ["`connect-deadline`", "`command-deadline`", "`data-deadline`", "`idle-time`"] {
        assert!(error.message().contains(part), "{part}: {error}");
    }
    assert!(SmtpSink::to("localhost:25", SmtpSinkSettings { idle_time: Duration::ZERO, ..settings() }).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_injected_before_tls_is_not_believed() {
    let (address, told) = scripted(vec![
        "220 hi\r\n",
        "250-hi\r\n250 STARTTLS\r\n",
        "220 go\r\n250-hi\r\n250 AUTH PLAIN\r\n250 ok\r\n250 ok\r\n354 go\r\n250 taken\r\n",
    ]);
    let certificate = Certificate::new();
    let secure =
        SmtpSinkSettings { tls: Some(SmtpTls::Starttls), authorities: Some(certificate.cert().into()), ..settings() };
    let sink = SmtpSink::to(&address, secure).unwrap();
    let (found, message) = kind(testing::feed(&sink, to("bob@x.test")).await);
    assert!(found == Kind::Unavailable, "{message}");
    let told = told.join().unwrap();
    assert_eq!(told[1], "STARTTLS");
    assert!(!told.iter().any(|line| line.starts_with("MAIL")), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_takes_the_steps_that_the_server_asks_for() {
    let (user, password, both) = ("YWRh", "c2VjcmV0", "AGFkYQBzZWNyZXQ=");
    let plain = format!("AUTH PLAIN {both}");
    for (offer, steps, expected, end) in [
        ("AUTH PLAIN", vec!["235 in\r\n"], vec![plain.as_str()], Kind::Unprocessable),
        ("AUTH PLAIN", vec!["334 \r\n", "235 in\r\n"], vec![&plain, both], Kind::Unprocessable),
        ("AUTH PLAIN", vec!["334 \r\n", "334 \r\n"], vec![&plain, both], Kind::Unsupported),
        ("AUTH PLAIN", vec!["535 no\r\n"], vec![&plain], Kind::Unauthorized),
        (
            "AUTH LOGIN",
            vec!["334 a\r\n", "334 b\r\n", "235 in\r\n"],
            vec!["AUTH LOGIN", user, password],
            Kind::Unprocessable,
        ),
        (
            "AUTH LOGIN",
            vec!["334 a\r\n", "334 b\r\n", "334 c\r\n"],
            vec!["AUTH LOGIN", user, password],
            Kind::Unsupported,
        ),
        ("AUTH LOGIN", vec!["334 a\r\n", "535 no\r\n"], vec!["AUTH LOGIN", user], Kind::Unauthorized),
    ] {
        let hello = if offer == "AUTH PLAIN" { "250-hi\r\n250 AUTH PLAIN\r\n" } else { "250-hi\r\n250 AUTH LOGIN\r\n" };
        let (address, told) = scripted([vec!["220 hi\r\n", hello], steps.clone(), vec!["550 no\r\n"]].concat());
        let login =
            SmtpSinkSettings { user: Some("ada".to_owned()), password: Some("secret".to_owned()), ..settings() };
        let sink = SmtpSink::to(&address, login).unwrap();
        let (found, message) = kind(testing::feed(&sink, to("bob@x.test")).await);
        assert_eq!(found, end, "{steps:?}: {message}");
        drop(sink);
        assert_eq!(told.join().unwrap()[1..=expected.len()], expected, "{steps:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_makes_no_sense_is_an_error_in_time() {
    for (script, expected) in [
        (vec!["hello\r\n"], Kind::Unavailable),
        (vec!["554 not here\r\n"], Kind::Unprocessable),
        (vec!["421 busy\r\n"], Kind::Unavailable),
        (vec!["220 hi\r\n", "500 what\r\n", "502 what\r\n"], Kind::Unsupported),
        (vec!["220 hi\r\n", "250 hi\r\n", "250 ok\r\n", "250 ok\r\n", "250 no data\r\n"], Kind::Unsupported),
        (vec!["220 hi\r\n", "250 hi\r\n", "250 ok\r\n", "421 bye\r\n"], Kind::Unavailable),
        (vec!["220 hi\r\n", "250 hi\r\n", "354 go\r\n", "250 ok\r\n"], Kind::Unsupported),
        (vec!["354 hi\r\n"], Kind::Unsupported),
        (vec!["220 hi\r\n", "250-SIZE 10\r\n250 SIZE 10\r\n"], Kind::TooLarge),
        (vec![""], Kind::Timeout),
    ] {
        let began = Instant::now();
        let (address, told) = scripted(script.clone());
        let limit = Duration::from_millis(500);
        let quick =
            SmtpSinkSettings { connect_deadline: limit, command_deadline: limit, data_deadline: limit, ..settings() };
        let sink = SmtpSink::to(&address, quick).unwrap();
        let (found, message) = kind(testing::feed(&sink, to("bob@x.test")).await);
        assert_eq!(found, expected, "{script:?}: {message}");
        assert!(began.elapsed() < Duration::from_secs(3));
        drop(sink);
        told.join().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_brings_a_mail_through_when_the_server_is_back() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let sink = SmtpSink::to(&format!("127.0.0.1:{port}"), settings()).unwrap();
    let retry = Retry { attempts: 60, first_wait: Duration::from_millis(50), longest_wait: Duration::from_millis(200) };
    let mut probe = Probe::with_policy(sink, Policy { retry, ..Policy::default() }).await.unwrap();
    probe.send(to("bob@x.test")).await.unwrap();
    let mut server = Server::start(&json!({"port": port}));
    let event = probe.output().await.unwrap();
    let mail = server.python.line().unwrap();
    assert_eq!(event.attribute("mail.message-id").unwrap().to_string(), mail["message_id"].as_str().unwrap());
    let ledger = probe.stop().await.unwrap();
    assert_ledger!(ledger, failed = 0, dropped = 0);
}

#[cfg(feature = "smtp-in")]
#[tokio::test(flavor = "multi_thread")]
async fn what_the_sink_sends_the_source_reads() {
    let source = smtp_support::Source::start(|source| source, |_| Ok(())).await;
    let sink =
        SmtpSink::to(&source.address.to_string(), SmtpSinkSettings { form: MailForm::Json, ..settings() }).unwrap();
    let bytes = STANDARD.encode((0..=255).collect::<Vec<u8>>());
    let mail = json!({
        "to": [{"address": "bob@x.test", "name": "Bob Ünger"}, {"address": "jürgen@x.test"}],
        "cc": [],
        "subject": "Grüße, 日本",
        "text": "one\n.\n..two\nü\n",
        "html": "<p>one</p>\n",
        "attachments": [{"name": "ü.bin", "type": "application/x-test", "base64": bytes}],
    });
    testing::feed(&sink, Event::new(mail.clone())).await.unwrap();
    let came = source.next().json();
    for (name, value) in mail.as_object().unwrap() {
        assert_eq!(came[name], *value, "{name}");
    }
    // What came can go out as it is.
    testing::feed(&sink, Event::new(came)).await.unwrap();
    let again = source.next().json();
    for (name, value) in mail.as_object().unwrap() {
        assert_eq!(again[name], *value, "{name}");
    }
    source.stop().await;
}

#[cfg(feature = "smtp-in")]
#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_is_known_where_all_is_said_at_once_too() {
    let accepts = vec!["x.test".to_owned()];
    let accepting = playhouse_actors::SmtpSourceSettings { accepts, size: 5000, ..Default::default() };
    let source = smtp_support::Source::start(|source| source.with_settings(accepting), |_| Ok(())).await;
    let server = source.address.to_string();
    let all_or_none = SmtpSink::to(&server, settings()).unwrap();
    let (found, message) = kind(testing::feed(&all_or_none, to("a@x.test, b@y.test")).await);
    assert_eq!(found, Kind::Unprocessable);
    assert!(message.contains("refused `b@y.test` (550 no mail is taken for this recipient)"), "{message}");
    let large = Event::new("x\n".repeat(5000)).with_attribute("mail.to", "a@x.test");
    assert_eq!(kind(testing::feed(&all_or_none, large).await).0, Kind::TooLarge);
    let refused_recipients = RefusedRecipients::Send;
    let partial = SmtpSink::to(&server, SmtpSinkSettings { refused_recipients, ..settings() }).unwrap();
    let outputs = testing::feed(&partial, to("a@x.test, b@y.test, c@x.test")).await.unwrap();
    assert_eq!(outputs[0].outbox, "partial");
    assert_eq!(source.next().text("mail.to"), "[\"a@x.test\",\"c@x.test\"]");
    testing::feed(&all_or_none, to("a@x.test")).await.unwrap();
    assert_eq!(source.next().text("mail.to"), "[\"a@x.test\"]");
    source.stop().await;
}
