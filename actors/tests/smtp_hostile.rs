//! What broken and hostile clients of the mail source get: a refusal as RFC 5321 says, and no harm to others.

#![cfg(feature = "smtp-in")]
#![allow(clippy::unwrap_used, reason = "a test may")]

mod smtp_support;

use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use playhouse_actors::SmtpSourceSettings;
use smtp_support::{Client, PATIENCE, Source};

fn settings() -> SmtpSourceSettings {
    SmtpSourceSettings::default()
}

async fn taking(settings: SmtpSourceSettings) -> Source {
    Source::start(|source| source.with_settings(settings), |_| Ok(())).await
}

/// A client that does all right still gets its mail through.
#[track_caller]
fn still_well(source: &Source) {
    let began = Instant::now();
    assert!(source.greeted().mail("Subject: good\r\n\r\ntext").starts_with("250 "));
    assert_eq!(source.next().text("mail.subject"), "good");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_mail_is_smuggled_in_by_another_line_end() {
    let source = taking(settings()).await;
    let second = "MAIL FROM:<evil@x.test>\r\nRCPT TO:<b@x.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n";
    for end in ["\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n.\r", "\n.\r", "\r.\r\n", "\r\r\n.\r\r\n", "\0\n.\n"] {
        let mut client = source.greeted();
        client.begin().send(format!("Subject: first\r\n\r\ntext{end}{second}QUIT\r\n"));
        assert_eq!(client.rest(), "521 5.5.2 a line must end by CR and LF, and hold neither alone\r\n", "{end:?}");
    }
    for command in ["NOOP\n", "NO\rOP\r\n", "NOOP\r\r\n", "MAIL FROM:<a@x.test>\nRCPT TO:<b@x.test>\r\n"] {
        let mut client = source.greeted();
        client.send(command).send("NOOP\r\n");
        assert_eq!(client.rest(), "521 5.5.2 a line must end by CR and LF, and hold neither alone\r\n", "{command:?}");
    }
    // What only looks like an end is a part of the mail.
    for text in ["..", " .", ". ", ".\t", "\u{2028}.\u{2028}", ".."] {
        let mut client = source.greeted();
        client.begin().send(format!("Subject: first\r\n\r\n{text}\r\n"));
        client.expect(".\r\n", "250 ");
        source.next();
    }
    still_well(&source);
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_is_too_large_is_refused_before_and_while_it_comes() {
    let source = taking(SmtpSourceSettings { size: 10_000, ..settings() }).await;
    let mut client = source.greeted();
    client.expect("MAIL FROM:<a@x.test> SIZE=10001\r\n", "552 5.3.4 ");
    client.expect("MAIL FROM:<a@x.test> SIZE=99999999999999999999999\r\n", "5");
    let lines = "x".repeat(98) + "\r\n";
    client.begin().expect(lines.repeat(110) + ".\r\n", "552 5.3.4 ");
    // It goes on with the next one, and a flood does not.
    assert!(client.mail("Subject: small\r\n\r\n").starts_with("250 "));
    client.begin();
    let mut sent = 0;
    while sent < 100_000 && std::io::Write::write_all(&mut client.socket, lines.as_bytes()).is_ok() {
        sent += lines.len();
    }
    assert!(client.rest().starts_with("421 4.3.4 "));
    source.next();
    still_well(&source);
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_as_it_should_be_is_refused() {
    let source = taking(settings()).await;
    let mut client = source.greeted();
    for (mail, reply) in [
        (format!("Subject: {}\r\n\r\n", "x".repeat(2000)), "554 5.6.0 the mail has a line that is too long"),
        ("Subject: \0\r\n\r\n".to_owned(), "554 5.6.0 the mail holds a NUL byte"),
        ("X: y\r\n".repeat(1001), "554 5.6.0 the mail has more than 1000 header fields"),
        (
            format!("X: y\r\n{}", format!(" {}\r\n", "z".repeat(900)).repeat(300)),
            "554 5.6.0 the mail has a header of more",
        ),
    ] {
        let found = client.mail(&mail);
        assert!(found.starts_with(reply), "{found}");
    }
    let mut client = source.greeted();
    for (command, reply) in [
        ("MAIL FROM:<a@x.test> BODY=BINARYMIME\r\n", "555 "),
        ("MAIL FROM:<a@x.test> FOO=BAR\r\n", "555 "),
        ("MAIL FROM:a@x.test\r\n", "501 "),
        ("MAIL FROM:<a@x.test\r\n", "501 "),
        ("MAIL FROM:<a\0@x.test>\r\n", "501 "),
        ("MAIL FROM:<a@x..test>\r\n", "553 "),
        ("BDAT 5 LAST\r\n", "502 "),
        ("AUTH PLAIN\r\n", "502 "),
        ("STARTTLS\r\n", "502 "),
        ("EXPN all\r\n", "502 "),
    ] {
        client.expect(command, reply);
    }
    // The eleventh is one too many.
    assert!(client.ask("X\r\n").starts_with("500 "));
    assert_eq!(client.rest(), "421 4.7.0 too many commands were refused\r\n");
    let mut client = source.greeted();
    client.send([&b"MAIL FROM:<\xff\xfe@x.test>\r\n"[..], b"QUIT\r\n"].concat());
    assert!(client.rest().starts_with("501 "));
    still_well(&source);
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_sends_a_mail_is_sent_away() {
    let source = taking(SmtpSourceSettings { idle_commands: 20, ..settings() }).await;
    for command in ["NOOP\r\n", "RSET\r\n", "VRFY x\r\n", "EHLO x\r\n"] {
        let mut client = source.connect();
        client.send(command.repeat(21));
        assert!(client.rest().ends_with("421 4.7.0 too many commands without a mail\r\n"), "{command}");
    }
    let mut client = source.greeted();
    for _ in 0..30 {
        assert!(client.mail("Subject: x\r\n\r\n").starts_with("250 "));
        source.next();
    }
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_without_an_end_is_cut_off() {
    let source = taking(settings()).await;
    let mut client = source.greeted();
    client.send("A".repeat(100_000));
    assert!(client.rest().starts_with("500 5.5.2 the command is too long\r\n"));
    let mut client = source.greeted();
    client.send(format!("NOOP {}\r\n", "x".repeat(5000)));
    assert!(client.rest().starts_with("500 5.5.2 "));
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_connections_keep_no_good_client_waiting_and_are_gone_in_time() {
    let limits = SmtpSourceSettings {
        connections: 600,
        connections_per_peer: 500,
        command_time: Duration::from_secs(1),
        ..settings()
    };
    let source = taking(limits).await;
    let began = Instant::now();
    let mut held: Vec<Client> = (0..400).map(|_| Client::connect(source.address)).collect();
    // Half of them say a bit now and then, and never a whole command.
    let dripping: Vec<TcpStream> = held[..200].iter().map(|client| client.socket.try_clone().unwrap()).collect();
    let dripper = std::thread::spawn(move || {
        for byte in b"EHLO a very long name indeed".iter().cycle() {
            let alive = dripping.iter().filter(|socket| std::io::Write::write_all(&mut &**socket, &[*byte]).is_ok());
            if alive.count() == 0 || began.elapsed() > Duration::from_secs(8) {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(200));
        }
    });
    still_well(&source);
    let more: Vec<Client> = (0..600).map(|_| Client::connect(source.address)).collect();
    let (mut greeted, mut refused) = (0, 0);
    for mut client in more {
        match client.reply().as_str() {
            "220 localhost ESMTP\r\n" => {
                greeted += 1;
                held.push(client);
            }
            reply => {
                assert_eq!(reply, "421 4.7.0 too many connections; try again later\r\n");
                refused += 1;
            }
        }
    }
    assert!((95..=600).contains(&greeted) && refused >= 1, "{greeted} were greeted, {refused} refused");
    for client in &mut held {
        let rest = client.rest();
        assert!(rest.ends_with("421 4.4.2 that took too long\r\n"), "{rest:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
    dripper.join().unwrap();
    still_well(&source);
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_comes_too_slowly_is_given_up() {
    let limits = SmtpSourceSettings { rate_window: Duration::from_millis(300), slowest_rate: 1000, ..settings() };
    let source = taking(limits).await;
    let mut client = source.greeted();
    client.begin().send("Subject: slow\r\n");
    let began = Instant::now();
    assert_eq!(client.reply(), "421 4.4.2 that took too long\r\n");
    assert!(began.elapsed() < Duration::from_secs(20));
    // One that is steady is not slow, however many windows it takes.
    let mut client = source.greeted();
    client.begin();
    for _ in 0..8 {
        client.send("x".repeat(200) + "\r\n");
        std::thread::park_timeout(Duration::from_millis(100));
    }
    client.expect(".\r\n", "250 ");
    source.next();
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_in_the_middle_leaves_nothing_behind() {
    let source = taking(settings()).await;
    for until in 0..6 {
        let mut client = source.connect();
        for piece in [
            "EHLO test\r\n",
            "MAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\n",
            "DATA\r\n",
            "Subject: x\r\n",
            "\r\nx\r\n.",
        ]
        .iter()
        .take(until)
        {
            client.send(piece);
        }
        if until % 2 == 0 {
            client.socket.shutdown(Shutdown::Write).unwrap();
            client.rest();
        }
        drop(client);
    }
    still_well(&source);
    // All have been noticed: a stop waits for none of them.
    let began = Instant::now();
    let ledger = source.stop().await;
    assert_eq!(ledger.entered, 1);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_nothing_is_given_up() {
    let limits = SmtpSourceSettings {
        command_time: Duration::from_millis(500),
        idle_commands: u32::MAX,
        errors: u32::MAX,
        ..settings()
    };
    let source = taking(limits).await;
    let mut client = Client::connect(source.address);
    client.socket.set_write_timeout(Some(Duration::from_secs(3))).unwrap();
    let began = Instant::now();
    let commands = "NOOP\r\n".repeat(2000);
    while std::io::Write::write_all(&mut client.socket, commands.as_bytes()).is_ok() {
        assert!(began.elapsed() < PATIENCE);
    }
    still_well(&source);
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_nothing_does_not_hold_up_a_stop() {
    let limits = SmtpSourceSettings { stop_time: Duration::from_millis(200), idle_commands: u32::MAX, ..settings() };
    let source = taking(limits).await;
    let mut client = Client::connect(source.address);
    client.socket.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let commands = "NOOP\r\n".repeat(2000);
    while std::io::Write::write_all(&mut client.socket, commands.as_bytes()).is_ok() {}
    let began = Instant::now();
    source.stop().await;
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn mails_of_many_parts_and_of_deep_ones_are_refused_at_no_cost() {
    let source = taking(settings()).await;
    let mut client = source.greeted();
    let mut deep = String::new();
    for level in 0..5000 {
        deep.push_str(&format!("Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n"));
    }
    let rfc822 = "Content-Type: message/rfc822\r\n\r\n".repeat(5_000);
    let many = |count: usize| {
        format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{}--b--", "--b\r\n\r\nx\r\n".repeat(count))
    };
    // Fields of three bytes in parts of their own.
    let bomb =
        format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{}", "--b\r\na:\r\nb:\r\nc:\r\n\r\n".repeat(50_000));
    for (mail, reply) in [
        (deep, "554 5.6.0 the mail has parts deeper than 16"),
        (many(1001), "554 5.6.0 the mail has more than 1000 parts"),
        (many(200_000), "554 5.6.0 the mail has more than 1000 parts"),
        (bomb, "554 5.6.0 the mail has more than 1000 "),
        (many(1000), "250 "),
        (rfc822, "250 "),
    ] {
        let began = Instant::now();
        let found = client.mail(&mail);
        assert!(found.starts_with(reply), "{} bytes: {found}", mail.len());
        assert!(began.elapsed() < Duration::from_secs(30), "{} bytes took {:?}", mail.len(), began.elapsed());
    }
    let many = source.next().json();
    assert_eq!((many["text"].as_str(), many["attachments"].as_array().unwrap().len()), (Some("x"), 999));
    // A mail within a mail is a file, however many there are within it.
    let nested = source.next().json();
    assert_eq!(nested["attachments"][0]["type"], "message/rfc822");
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mails_that_lie_about_themselves_are_read_all_the_same() {
    let source = taking(settings()).await;
    let mut client = source.greeted();
    for (mail, text) in [
        ("", ""),
        ("no header", ""),
        (": \r\n::\r\n=?utf-8?q?\r\n\r\nx", "x\n"),
        ("Content-Type: text/plain; charset=nonsense\r\n\r\nx", "x\n"),
        ("Content-Type: multipart/mixed\r\n\r\n--x\r\n", ""),
        ("Content-Type: multipart/mixed; boundary=\"\"\r\n\r\n--\r\n\r\nx", ""),
        ("Content-Transfer-Encoding: base64\r\n\r\n!!!\r\n", "!!!\n\n"),
        ("Content-Transfer-Encoding: quoted-printable\r\n\r\n=zz=\r\n", "=zz=\n\n"),
        ("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n/v8=", "��"),
        ("Subject: =?utf-8?b?////?= =?x?y?z?=\r\nTo: <<<>>>,,;:\r\nDate: 99 Foo 99999 99:99:99\r\n\r\nx", "x\n"),
    ] {
        let found = client.mail(mail);
        assert!(found.starts_with("250 "), "{mail:?} got {found}");
        let json = source.next().json();
        assert_eq!(json["text"].as_str().unwrap_or_default(), text, "{mail:?}");
    }
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_header_and_no_text_takes_long_to_read() {
    let source = taking(settings()).await;
    let mut client = source.greeted();
    let folded = |name: &str, piece: &str| {
        let line = piece.repeat(900 / piece.len());
        format!("{name}: {}\r\n\r\nx", vec![line; 60].join("\r\n "))
    };
    let mut mails: Vec<String> = Vec::new();
    for name in ["To", "Subject", "Content-Type", "Content-Disposition", "Received", "References", "Date", "X-Other"] {
        for piece in [
            "(",
            "<",
            "\"",
            "=?utf-8?b?",
            "=?utf-8?q?=C3?=",
            "a <",
            ",",
            ";",
            "a=b; ",
            "a*0*=b; ",
            "\\",
            "[",
            "9",
            "a@b,",
            ":",
        ] {
            mails.push(folded(name, piece));
        }
    }
    for piece in ["<", "<a", "<!--", "&", "&#1;", "</", "<style>", "ü&nbsp", " "] {
        let line = piece.repeat(900 / piece.len());
        mails.push(format!("Content-Type: text/html; charset=utf-8\r\n\r\n{}", vec![line; 200].join("\r\n")));
    }
    // Parts of a name that are put together one by one, and look for it among many others.
    for name in ["Content-Type: a/b", "content-disposition: attachment", " CONTENT-TYPE: a/b"] {
        let lines =
            (0..600).map(|line| format!(" {}", (0..30).map(|at| format!("; n{line}x{at}=c")).collect::<String>()));
        let pieces = (0..3000).map(|piece| format!(" ; f*{piece}=d"));
        mails.push(format!("{name}\r\n{}\r\n\r\nx", lines.chain(pieces).collect::<Vec<_>>().join("\r\n")));
    }
    let mut refused = 0;
    for (number, mail) in mails.iter().enumerate() {
        let began = Instant::now();
        let found = client.mail(mail);
        assert!(began.elapsed() < Duration::from_secs(30), "{:?} took {:?}", &mail[..60], began.elapsed());
        if found == "554 5.6.0 the mail has a header with too many parameters\r\n" {
            refused += 1;
            continue;
        }
        assert!(found.starts_with("250 "), "{number}: {found}");
        source.next();
    }
    // `;`, `a=b; ` and `a*0*=b; ` in both fields, and the three last.
    assert_eq!(refused, 9);
    source.stop().await;
}
