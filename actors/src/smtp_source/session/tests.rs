use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn rules(settings: SmtpSourceSettings, secured: bool) -> Arc<Rules> {
    let memory = Arc::new(Memory::new(settings.memory));
    let accepts = Accepts::new(&settings.accepts).unwrap();
    Arc::new(Rules { settings, accepts, offers_tls: secured, has_users: secured, memory })
}

fn session() -> Session {
    Session::new(rules(SmtpSourceSettings::default(), false))
}

/// Does what a source does that is asked for everything and says yes, and returns the mails.
fn run(session: &mut Session, input: &[u8]) -> Vec<Mail> {
    let mut mails = Vec::new();
    session.input.extend_from_slice(input);
    loop {
        match session.step() {
            Step::More | Step::Close => return mails,
            Step::StartTls => session.secured(),
            Step::Check { user, password } => {
                let right = user == "ada" && password == "secret";
                session.checked(if right {
                    Ok("ada".into())
                } else {
                    Err(playhouse_engine::Error::unauthorized("no"))
                });
            }
            Step::Begin => session.begin(None),
            Step::Mail(mail) => {
                mails.push(mail);
                session.taken(&reply::TAKEN);
            }
        }
    }
}

/// The codes of what was said since the last time.
fn said(session: &mut Session) -> Vec<u16> {
    let output = String::from_utf8(std::mem::take(&mut session.output)).unwrap();
    output.lines().filter(|line| line.as_bytes()[3] == b' ').map(|line| line[..3].parse().unwrap()).collect()
}

#[test]
fn a_session_takes_mails() {
    let mut session = session();
    let one = "MAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\nRCPT TO:<c@x.test>\r\nDATA\r\n..\r\n.\r\n";
    let mails = run(&mut session, format!("HELO me\r\n{one}{one}QUIT\r\n").as_bytes());
    assert_eq!(said(&mut session), [220, 250, 250, 250, 250, 354, 250, 250, 250, 250, 354, 250, 221]);
    for mail in mails {
        let Mail { from, to, helo, bytes, .. } = mail;
        assert_eq!((from.as_str(), to.len(), helo.as_str(), &bytes[..]), ("a@x.test", 2, "me", &b".\r\n"[..]));
    }
}

#[test]
fn a_mail_for_more_than_there_may_be_goes_to_the_first_and_then_to_the_others() {
    let settings = SmtpSourceSettings { recipients: 10, errors: 3, ..SmtpSourceSettings::default() };
    let mut session = Session::new(rules(settings, false));
    let mail = |count: usize| format!("MAIL FROM:<a@x.test>\r\n{}", "RCPT TO:<b@x.test>\r\n".repeat(count));
    run(&mut session, b"HELO me\r\n");
    for _ in 0..2 {
        let mails = run(&mut session, format!("{}DATA\r\n.\r\n", mail(110)).as_bytes());
        assert_eq!((mails.len(), mails[0].to.len()), (1, 10));
        let said = said(&mut session);
        assert_eq!((said.iter().filter(|code| **code == 452).count(), said.last()), (100, Some(&250)));
    }
    run(&mut session, mail(111).as_bytes());
    assert_eq!(said(&mut session).last(), Some(&421));
}

#[test]
fn a_reset_forgets_the_mail_that_was_begun() {
    let mut session = session();
    for forget in ["RSET\r\n", "HELO again\r\n", "EHLO again\r\n"] {
        let begun = format!("HELO me\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\n{forget}RCPT TO:<c@x.test>\r\n");
        run(&mut session, begun.as_bytes());
        assert_eq!(said(&mut session).last(), Some(&503), "{forget:?}");
        run(&mut session, b"RSET\r\n");
    }
}

#[test]
fn a_password_is_asked_for_after_tls_only_and_mail_after_the_password() {
    let mut session = Session::new(rules(SmtpSourceSettings::default(), true));
    run(&mut session, b"EHLO me\r\nMAIL FROM:<a@x.test>\r\nAUTH LOGIN\r\nSTARTTLS\r\n");
    assert_eq!(said(&mut session), [220, 250, 530, 538, 220]);
    run(&mut session, b"STARTTLS\r\nEHLO me\r\nMAIL FROM:<a@x.test>\r\nAUTH CRAM-MD5\r\nAUTH LOGIN\r\n");
    assert_eq!(said(&mut session), [503, 250, 530, 504, 334]);
    // `ada` and `wrong`, then `ada` and `secret`.
    run(&mut session, b"YWRh\r\nd3Jvbmc=\r\nAUTH LOGIN YWRh\r\nc2VjcmV0\r\n");
    assert_eq!(said(&mut session), [334, 535, 334, 235]);
    run(&mut session, b"AUTH PLAIN\r\nMAIL FROM:<a@x.test>\r\nSTARTTLS\r\n");
    assert_eq!(said(&mut session), [503, 250, 503]);
}

fn commands() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(vec![
        "EHLO x",
        "HELO y",
        "MAIL FROM:<a@x.test>",
        "MAIL FROM:<>",
        "RCPT TO:<b@x.test>",
        "DATA",
        "RSET",
        "NOOP",
        "VRFY z",
        "STARTTLS",
        "AUTH PLAIN",
        "AUTH LOGIN YWRh",
        "QUIT",
        ".",
        "..",
        "",
        "\r",
        "\n",
        "\0",
        "é",
        "=",
        "*",
        "BDAT 3",
        "HELP",
        "MAIL FROM:<a@x.test> SIZE=1 BODY=8BITMIME SMTPUTF8",
        "RCPT TO:<é@x.test>",
        "MAIL",
        "RCPT TO:",
        "Subject: x",
    ]);
    let line = (words, prop::sample::select(vec!["\r\n", "\r\n", "\r\n", "\r\n", "\n", " ", "\r", ""]));
    let known = line.prop_map(|(word, end)| format!("{word}{end}").into_bytes());
    let unknown = vec(any::<u8>(), 0..40);
    vec(prop_oneof![9 => known, 1 => unknown], 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    /// However the input is cut, the same is said and the same mails are taken; nothing is ever said but replies, and what is
    /// taken has a sender and a recipient.
    #[test]
    fn any_input_has_one_meaning(input in commands(), cuts in vec(1_usize..30, 1..40), secured in any::<bool>()) {
        let rules = rules(SmtpSourceSettings { size: 200, line_size: 80, command_size: 100, ..Default::default() }, secured);
        // What comes along with `STARTTLS` is thrown away, so there a cut makes a difference.
        let has_tls = secured && input.windows(8).any(|word| word.eq_ignore_ascii_case(b"STARTTLS"));
        let mut whole = Session::new(rules.clone());
        let mails = run(&mut whole, &input);
        let mut cut = Session::new(rules);
        let (mut rest, mut pieces) = (&input[..], Vec::new());
        for size in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at((*size).min(rest.len()));
            pieces.extend(run(&mut cut, piece));
            rest = after;
        }
        for mail in &mails {
            prop_assert!(!mail.to.is_empty() && mail.bytes.len() <= 200 && !mail.helo.is_empty());
        }
        if !has_tls {
            prop_assert_eq!(
                mails.iter().map(|mail| &mail.bytes).collect::<Vec<_>>(),
                pieces.iter().map(|mail| &mail.bytes).collect::<Vec<_>>()
            );
            prop_assert_eq!(whole.output.escape_ascii().to_string(), cut.output.escape_ascii().to_string());
        }
        let output = String::from_utf8(whole.output).unwrap();
        for line in output.split_terminator("\r\n") {
            prop_assert!(line.len() >= 4 && line.as_bytes()[..3].iter().all(u8::is_ascii_digit), "{:?}", line);
            prop_assert!(!line.contains(['\r', '\n']), "{:?}", line);
        }
    }
}
