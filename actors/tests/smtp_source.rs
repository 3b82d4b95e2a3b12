//! Mail that comes in: what Python's smtplib sends is read as Python's email reads it, and a mail is answered for when its
//! event has ended.

#![cfg(all(feature = "smtp-in", feature = "tls", feature = "auth"))]
#![allow(clippy::unwrap_used, reason = "a test may")]

mod smtp_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use playhouse_actors::http::Tls;
use playhouse_actors::{BasicAuth, MailPayload, SmtpSource, SmtpSourceSettings};
use playhouse_engine::{Actor, Director, Error, Event, Outbox, Overflow, Policy, Result, map, sink};
use serde_json::{Value, json};
use smtp_support::{Certificate, Client, PATIENCE, Python, Source};
use tokio::sync::Semaphore;

fn settings() -> SmtpSourceSettings {
    SmtpSourceSettings::default()
}

async fn taking_all() -> Source {
    Source::start(|source| source, |_| Ok(())).await
}

async fn taking(settings: SmtpSourceSettings) -> Source {
    Source::start(|source| source.with_settings(settings), |_| Ok(())).await
}

/// Compares what came with what Python's parser read, for all mails that Python sends.
#[track_caller]
fn compare(source: &Source, python: &mut Python) -> usize {
    let mut count = 0;
    while let Some(line) = python.line() {
        let name = line["name"].as_str().unwrap();
        let came = source.next();
        let mut found = came.json();
        for (member, expected) in line["expected"].as_object().unwrap() {
            if member == "attachments" {
                let found = found[member].as_array_mut().unwrap();
                assert_eq!(found.len(), expected.as_array().unwrap().len(), "{name}: {found:?}");
                for (found, expected) in found.iter().zip(expected.as_array().unwrap()) {
                    assert_eq!(found["name"], expected["name"], "{name}");
                    assert_eq!(found["type"], expected["type"], "{name}");
                    // Python takes a mail within a mail apart.
                    assert!(expected["base64"].is_null() || found["base64"] == expected["base64"], "{name}");
                }
                continue;
            }
            let found = match &found[member] {
                Value::String(text) if member == "text" => json!(text.trim_end()),
                other => other.clone(),
            };
            let expected = match expected {
                Value::String(text) if member == "text" => json!(text.trim_end()),
                other => other.clone(),
            };
            assert_eq!(found, expected, "`{member}` of the mail `{name}`");
        }
        assert_eq!(came.text("mail.from"), "ada@x.test");
        assert_eq!(came.text("mail.subject"), line["expected"]["subject"].as_str().unwrap());
        count += 1;
    }
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn what_smtplib_sends_is_read_as_python_reads_it() {
    let source = taking_all().await;
    let port = source.address.port().to_string();
    let mut python = Python::start("smtp_send.py", &[&port, "-"]);
    assert_eq!(compare(&source, &mut python), 19);
    assert_eq!(source.stop().await.entered, 19);
}

#[tokio::test(flavor = "multi_thread")]
async fn starttls_and_auth_of_smtplib_work() {
    let certificate = Certificate::new();
    let tls = Tls::from_pem_files(certificate.cert(), certificate.key()).unwrap();
    let users = BasicAuth::from_text(&BasicAuth::line("ada", "lovelace:1").unwrap()).unwrap();
    let source = Source::start(|source| source.with_tls(tls).with_users(users), |_| Ok(())).await;
    let port = source.address.port().to_string();
    let mut python = Python::start("smtp_send.py", &[&port, &certificate.cert(), "ada", "lovelace:1"]);
    for _ in 0..19 {
        python.line().unwrap();
        let came = source.next();
        assert_eq!((came.text("auth.user"), came.text("smtp.tls")), ("ada".to_owned(), "true".to_owned()));
    }
    let mut wrong = Python::start("smtp_send.py", &[&port, &certificate.cert(), "ada", "wrong"]);
    assert_eq!(wrong.line(), None);
    // In the clear there is neither mail nor a password.
    let mut client = source.connect();
    let hello = client.ask("EHLO test\r\n");
    assert!(hello.contains("STARTTLS") && !hello.contains("AUTH"), "{hello}");
    client.expect("AUTH PLAIN AGFkYQBsb3ZlbGFjZTox\r\n", "538 ").expect("MAIL FROM:<a@x.test>\r\n", "530 ");
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_before_tls_is_forgotten() {
    let certificate = Certificate::new();
    let tls = Tls::from_pem_files(certificate.cert(), certificate.key()).unwrap();
    let source = Source::start(|source| source.with_tls(tls), |_| Ok(())).await;
    let mut client = source.greeted();
    // As an attacker in the middle would inject it (CVE-2011-0411).
    client.send("MAIL FROM:<a@x.test>\r\nSTARTTLS\r\nRCPT TO:<evil@x.test>\r\nDATA\r\nevil\r\n.\r\n");
    assert!(client.reply().starts_with("250 ") && client.reply().starts_with("220 "));
    let mut roots = rustls::RootCertStore::empty();
    use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
    roots.add(CertificateDer::from_pem_file(certificate.cert()).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let mut connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = rustls::Stream::new(&mut connection, &mut client.socket);
    let mut ask = |command: &str| {
        use std::io::{Read, Write};
        stream.write_all(command.as_bytes()).unwrap();
        let mut reply = [0; 512];
        let count = stream.read(&mut reply).unwrap();
        String::from_utf8_lossy(&reply[..count]).into_owned()
    };
    // Neither the mail that had begun nor the greeting is left, and nothing injected was answered.
    assert!(ask("RCPT TO:<b@x.test>\r\n").starts_with("503 "));
    assert!(ask("MAIL FROM:<a@x.test>\r\n").starts_with("503 "));
    let hello = ask("EHLO test\r\n");
    assert!(hello.starts_with("250-localhost") && !hello.contains("STARTTLS"), "{hello}");
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_is_taken_when_its_event_has_ended_and_refused_by_the_kind_of_its_failure() {
    let handle = |event: &Event| match event.attribute("mail.subject").map(|subject| subject.to_string()).as_deref() {
        Some("malformed") => Err(Error::malformed("no order in it")),
        Some("internal") => Err(Error::internal("secret")),
        Some("unavailable") => Err(Error::unavailable("no database")),
        _ => Ok(()),
    };
    let source = Source::start(|source| source, handle).await;
    let mut client = source.greeted();
    for (subject, reply) in [
        ("malformed", "554 5.6.0 no order in it\r\n"),
        ("internal", "451 4.3.5 the mail could not be handled; try again later\r\n"),
        ("unavailable", "451 4.3.0 "),
        ("good", "250 2.6.0 "),
    ] {
        let found = client.mail(&format!("Subject: {subject}\r\n\r\ntext"));
        assert!(found.starts_with(reply), "{subject}: {found}");
    }
    assert_eq!(source.next().text("mail.subject"), "good");
    let ledger = source.stop().await;
    assert_eq!((ledger.delivered, ledger.failed), (1, 3));
}

/// An actor that waits until it is let.
struct Gate(Arc<Semaphore>, Arc<AtomicUsize>);

impl Actor for Gate {
    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.acquire().await.map_err(|error| Error::internal("closed").caused_by(error))?.forget();
        out.push(event);
        Ok(())
    }
}

/// A source before a gate, whose inbox holds one event and sheds what is more.
async fn gated(settings: SmtpSourceSettings) -> (Source, Arc<Semaphore>, Arc<AtomicUsize>) {
    let (open, arrived) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut director = Director::new("gated");
    let mail = director.register("mail", SmtpSource::on(listener).with_settings(settings));
    let policy = Policy { capacity: 1, overflow: Overflow::Shed, ..Policy::default() };
    let gate = director.register_with("gate", Gate(open.clone(), arrived.clone()), policy);
    let (sender, came) = std::sync::mpsc::channel();
    let end = director.register(
        "end",
        sink(move |event: &Event| {
            let (payload, attributes) = (event.payload().clone(), event.attributes().clone());
            sender.send(smtp_support::Came { payload, attributes }).unwrap();
            Ok(())
        }),
    );
    director.connect(mail, gate);
    director.connect(gate, end);
    let running = director.build().unwrap().start().await.unwrap();
    (Source::of(address, came, running), open, arrived)
}

async fn until(arrived: &AtomicUsize, count: usize) {
    let began = Instant::now();
    while arrived.load(Ordering::Relaxed) < count {
        assert!(began.elapsed() < PATIENCE);
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_or_in_time_a_client_is_told_to_come_again() {
    let (source, open, arrived) =
        gated(SmtpSourceSettings { deadline: Duration::from_millis(700), ..settings() }).await;
    let begin = Instant::now();
    let mut waiting: Vec<Client> = (0..6).map(|_| source.greeted()).collect();
    for client in &mut waiting {
        client.begin().send("Subject: x\r\n\r\ny\r\n.\r\n");
    }
    let replies: Vec<String> = waiting.iter_mut().map(Client::reply).collect();
    let count = |code: &str| replies.iter().filter(|reply| reply.starts_with(code)).count();
    assert!(count("451 ") >= 1 && count("452 ") >= 3 && count("451 ") + count("452 ") == 6, "{replies:?}");
    assert!(begin.elapsed() < Duration::from_secs(5));
    until(&arrived, 1).await;
    open.add_permits(10);
    // The connection goes on.
    assert!(waiting[0].mail("Subject: again\r\n\r\nx").starts_with("250 "));
    while source.next().text("mail.subject") != "again" {}
    let ledger = source.stop_with_losses().await;
    assert!(ledger.balances(), "{ledger}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_takes_its_room_until_the_flow_is_done_with_it() {
    let held = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (holding, deadline) = (held.clone(), Duration::from_millis(300));
    let limits = SmtpSourceSettings { memory: 5000, deadline, ..settings() };
    let hold = move |event: &Event| {
        holding.lock().unwrap().push(event.clone());
        Ok(())
    };
    let source = Source::start(|source| source.with_settings(limits), hold).await;
    let mut client = source.greeted();
    let mail = format!("Subject: x\r\n\r\n{}", vec!["y".repeat(98); 20].join("\r\n"));
    assert!(client.mail(&mail).starts_with("451 "));
    // The client was told that it is late, and the mail is there still.
    assert!(client.mail(&mail).starts_with("452 "));
    held.lock().unwrap().clear();
    assert!(client.mail(&mail).starts_with("451 "));
    held.lock().unwrap().clear();
    source.next();
    source.next();
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_stop_who_is_idle_is_told_and_who_is_sending_comes_to_an_end() {
    let (mut source, open, arrived) = gated(settings()).await;
    let (mut idle, mut begun, mut sending, mut waiting) =
        (source.connect(), source.greeted(), source.greeted(), source.greeted());
    begun.expect("MAIL FROM:<a@x.test>\r\n", "250 ");
    sending.begin().send("Subject: sending\r\n");
    waiting.begin().send("Subject: waiting\r\n\r\nx\r\n.\r\n");
    until(&arrived, 1).await;
    let stopped = source.begin_stop();
    assert!(idle.reply().starts_with("421 4.3.2 "));
    assert!(begun.reply().starts_with("421 4.3.2 "));
    assert_eq!(idle.rest() + &begun.rest(), "");
    sending.send("\r\nx\r\n.\r\n");
    until(&arrived, 1).await;
    open.add_permits(2);
    for client in [&mut waiting, &mut sending] {
        assert!(client.reply().starts_with("250 "));
        assert!(client.reply().starts_with("421 "));
        assert_eq!(client.rest(), "");
    }
    let ledger = stopped.await.unwrap().unwrap();
    playhouse_engine::assert_ledger!(ledger, delivered = 4, failed = 0, dropped = 0);
    assert!(std::net::TcpStream::connect(source.address).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_for_ever_does_not_hold_up_a_stop() {
    let limits = SmtpSourceSettings { stop_time: Duration::from_millis(200), ..settings() };
    let mut source = taking(limits).await;
    let mut client = source.greeted();
    client.begin().send("Subject: never ends\r\n");
    let stopped = source.begin_stop();
    assert!(client.reply().starts_with("421 4.3.2 "));
    drop(client);
    playhouse_engine::assert_ledger!(stopped.await.unwrap().unwrap(), entered = 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_come_at_once_are_answered_in_order() {
    let source = taking_all().await;
    let mut client = source.connect();
    let one = "MAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\nDATA\r\nSubject: 1\r\n\r\nx\r\n.\r\n";
    client.send(format!("EHLO test\r\n{one}RSET\r\nNOOP\r\n{one}VRFY x\r\nBOGUS\r\nQUIT\r\n"));
    let replies = client.rest();
    let codes: Vec<&str> = replies.lines().filter(|line| line.as_bytes()[3] == b' ').map(|line| &line[..3]).collect();
    let one = ["250", "250", "354", "250"];
    assert_eq!(codes, [&["250"][..], &one, &["250", "250"], &one, &["252", "500", "221"]].concat());
    assert_eq!((source.next().text("mail.subject"), source.next().text("mail.subject")), ("1".into(), "1".into()));
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_byte_by_byte_is_the_same() {
    let source = taking(SmtpSourceSettings { payload: MailPayload::Raw, ..settings() }).await;
    let mut client = source.connect();
    for byte in b"HELO test\r\nMAIL FROM:<>\r\nRCPT TO:<Postmaster>\r\nDATA\r\nMessage-ID: <7@x>\r\n\r\n..x\r\n\r\n.\r\nQUIT\r\n" {
        client.send([*byte]);
    }
    assert!(client.rest().ends_with("250 2.6.0 the mail is taken\r\n221 2.0.0 bye\r\n"));
    let came = source.next();
    assert_eq!(came.payload.to_bytes(), "Message-ID: <7@x>\r\n\r\n.x\r\n\r\n");
    assert_eq!((came.text("mail.from"), came.text("mail.to")), (String::new(), "[\"postmaster\"]".to_owned()));
    assert_eq!((came.text("mail.message-id"), came.text("smtp.helo")), ("<7@x>".to_owned(), "test".to_owned()));
    assert_eq!((came.text("smtp.peer"), came.text("smtp.tls")), ("127.0.0.1".to_owned(), "false".to_owned()));
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn xml_has_an_element_for_each_header() {
    let source = taking(SmtpSourceSettings { payload: MailPayload::Xml, ..settings() }).await;
    let mail = "To: Bob <b@x.test>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\n1 < 2";
    assert!(source.greeted().mail(mail).starts_with("250 "));
    assert_eq!(
        source.next().payload.to_string(),
        "<mail><To>Bob &lt;b@x.test&gt;</To><Subject>Grüße</Subject><Body>1 &lt; 2\n</Body></mail>"
    );
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_is_taken_for_whom_the_settings_say() {
    let source = taking(SmtpSourceSettings { accepts: vec!["x.test".to_owned()], recipients: 2, ..settings() }).await;
    let mut client = source.greeted();
    client
        .expect("RCPT TO:<a@x.test>\r\n", "503 ")
        .expect("DATA\r\n", "503 ")
        .expect("MAIL FROM:<a@elsewhere.test> SIZE=100 BODY=8BITMIME\r\n", "250 ")
        .expect("MAIL FROM:<again@elsewhere.test>\r\n", "503 ")
        .expect("DATA\r\n", "554 5.5.1")
        .expect("RCPT TO:<a@elsewhere.test>\r\n", "550 5.1.1")
        .expect("RCPT TO:<a@x.test>\r\n", "250 ")
        .expect("RCPT TO:<ü@x.test>\r\n", "553 5.6.7")
        .expect("RCPT TO:<\"a b\"@x.test>\r\n", "553 ")
        .expect("RCPT TO:<b@X.TEST>\r\n", "250 ")
        .expect("RCPT TO:<c@x.test>\r\n", "452 4.5.3");
    client.expect("DATA\r\n", "354 ").expect("\r\nx\r\n.\r\n", "250 ");
    assert_eq!(source.next().text("mail.to"), "[\"a@x.test\",\"b@X.TEST\"]");
    source.stop().await;
}

#[tokio::test]
async fn settings_that_make_no_sense_stop_the_start() {
    let start = async |source: SmtpSource| {
        let mut director = Director::new("wrong");
        let mail = director.register("mail", source);
        let end = director.register("end", map(|event: &Event| event.clone()));
        let null = director.register("null", sink(|_| Ok(())));
        director.connect(mail, end);
        director.connect(end, null);
        director.build().unwrap().start().await.unwrap_err().to_string()
    };
    let source = |settings| SmtpSource::bind("127.0.0.1:0").with_settings(settings);
    let error = start(source(SmtpSourceSettings { accepts: vec!["@".to_owned()], ..settings() })).await;
    assert!(error.contains("`accepts` holds `@`; expected"), "{error}");
    let error = start(source(SmtpSourceSettings { require_tls: true, ..settings() })).await;
    assert!(error.contains("`require-tls` need TLS; expected `with_tls`"), "{error}");
    let error = start(source(settings()).with_users(BasicAuth::with(|_, _| true))).await;
    assert!(error.contains("users need TLS; expected `with_tls`"), "{error}");
    let error = start(source(SmtpSourceSettings { hostname: "a b".to_owned(), ..settings() })).await;
    assert!(error.contains("`a b` is no `hostname`"), "{error}");
    let wrong = SmtpSourceSettings {
        hostname: String::new(),
        deadline: Duration::MAX,
        rate_window: Duration::ZERO,
        data_time: Duration::MAX,
        accepts: vec!["@".to_owned()],
        ..settings()
    };
    let error = start(source(wrong)).await;
    for part in ["`hostname`", "`deadline`", "`rate-window`", "`data-time`", "`accepts`"] {
        assert!(error.contains(part), "{part}: {error}");
    }
}
