//! The orders example as a process of its own, asked by curl.

#![allow(clippy::unwrap_used, reason = "a test may")]
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};

const ORDER: &str = r#"<order number="42"><customer>Ada</customer><line sku="A1" quantity="2" price="3.50"/><line sku="B2" quantity="1" price="4.00"/></order>"#;
const ACKNOWLEDGEMENT: &str = "<acknowledgement><number>42</number><customer>Ada</customer><lines>2</lines><total>11.00</total></acknowledgement>";

/// A running orders service. It is killed when the test ends, however it ends.
struct Service {
    process: Child,
    output: BufReader<ChildStdout>,
    url: String,
}

struct Answer {
    status: u16,
    content_type: String,
    body: String,
}

impl Service {
    fn start() -> Self {
        // The test runs from `target/PROFILE/deps`; cargo puts examples beside that.
        let mut path = std::env::current_exe().unwrap();
        path.pop();
        path.set_file_name("examples");
        path.push("orders");
        assert!(path.exists(), "`{}` is not built; `cargo build --examples` does that", path.display());
        let mut process = Command::new(path).args(["--bind", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut first = String::new();
        output.read_line(&mut first).unwrap();
        let url = first.trim_end().strip_prefix("listening on ").unwrap().to_owned();
        assert!(url.starts_with("http://127.0.0.1:"), "{first}");
        Self { process, output, url }
    }

    /// Asks as curl does, with these arguments besides.
    fn ask(&self, path: &str, arguments: &[&str]) -> Answer {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "30", "--write-out", "\n%{http_code} %{content_type}"])
            .args(arguments)
            .arg(format!("{}{path}", self.url))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let (body, facts) = text.rsplit_once('\n').unwrap();
        let (status, content_type) = facts.split_once(' ').unwrap();
        Answer { status: status.parse().unwrap(), content_type: content_type.to_owned(), body: body.to_owned() }
    }

    fn order(&self, document: &str) -> Answer {
        self.ask("/orders", &["-u", "ada:lovelace", "-H", "content-type: application/xml", "-d", document])
    }

    fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    fn terminate(&self) {
        let killed = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status().unwrap();
        assert!(killed.success());
    }

    /// Waits for the process to end well, and returns what else it printed.
    fn end(&mut self) -> String {
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        assert!(self.process.wait().unwrap().success());
        rest
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Takes the spaces between elements away, and the declaration.
fn bare(document: &str) -> String {
    let body = document.split_once("?>").map_or(document, |(_, body)| body);
    body.split('<').map(str::trim).collect::<Vec<_>>().join("<")
}

#[test]
fn an_order_is_acknowledged_with_its_exact_total() {
    let service = Service::start();
    let answer = service.order(ORDER);
    assert_eq!((answer.status, bare(&answer.body).as_str()), (200, ACKNOWLEDGEMENT));
    assert!(answer.content_type.starts_with("application/xml"), "{}", answer.content_type);
    // In binary fractions this would be 0.30000000000000004.
    let cents = r#"<order number="1"><customer>A &amp; B</customer><line sku="A" quantity="3" price="0.1"/></order>"#;
    let answer = service.order(cents);
    assert!(answer.body.contains("<total>0.30</total>"), "{}", answer.body);
    assert!(answer.body.contains("<customer>A &amp; B</customer>"), "{}", answer.body);
}

#[test]
fn bad_orders_and_bad_requests_get_their_errors() {
    let service = Service::start();
    let error = |document: &str| service.order(document).status;
    assert_eq!(error("<order number='1'><customer>Ada</order>"), 400);
    assert_eq!(error("<!DOCTYPE order [<!ENTITY a 'b'>]><order number='1'><customer>&a;</customer></order>"), 400);
    assert_eq!(
        error("<order number='1'><customer>A</customer><line sku='A' quantity='1' price='cheap'/></order>"),
        422
    );
    assert_eq!(error("<order number='1'><customer>A</customer><line sku='A' quantity='-1' price='1'/></order>"), 422);
    assert_eq!(error("<order number='1'><customer>A</customer><line sku='A' quantity='1' price='-1'/></order>"), 422);

    let xml = "content-type: application/xml";
    assert_eq!(service.ask("/orders", &["-H", xml, "-d", ORDER]).status, 401);
    assert_eq!(service.ask("/orders", &["-u", "ada:wrong", "-H", xml, "-d", ORDER]).status, 401);
    assert_eq!(service.ask("/orders", &["-u", "eve:lovelace", "-H", xml, "-d", ORDER]).status, 401);
    assert_eq!(service.ask("/elsewhere", &["-u", "ada:lovelace", "-H", xml, "-d", ORDER]).status, 404);
    assert_eq!(service.ask("/orders", &["-u", "ada:lovelace"]).status, 405);
    let image = ["-u", "ada:lovelace", "-H", "content-type: image/png", "-d", ORDER];
    assert_eq!(service.ask("/orders", &image).status, 415);

    let large = tempfile("large", &vec![b' '; 2 * 1024 * 1024]);
    let data = format!("@{}", large.display());
    let answer = service.ask("/orders", &["-u", "ada:lovelace", "-H", xml, "--data-binary", &data]);
    std::fs::remove_file(large).unwrap();
    assert_eq!(answer.status, 413);
    assert_eq!(service.order(ORDER).status, 200);
}

#[test]
fn the_error_is_told_in_the_client_s_format() {
    let service = Service::start();
    let answer = service.order("<order");
    assert!(answer.body.starts_with("<errors><error><message>"), "{}", answer.body);
    assert!(answer.body.contains("<code>malformed</code>"), "{}", answer.body);
    let json =
        ["-u", "ada:wrong", "-H", "accept: application/json", "-H", "content-type: application/xml", "-d", ORDER];
    let answer = service.ask("/orders", &json);
    assert!(answer.body.starts_with(r#"{"errors":[{"message":"#), "{}", answer.body);
}

#[test]
fn a_stop_answers_what_is_in_flight_and_prints_the_ledger() {
    let mut service = Service::start();
    let mut requests: Vec<_> = (0..8)
        .map(|_| {
            let mut stream = TcpStream::connect(service.address()).unwrap();
            let head = format!(
                "POST /orders HTTP/1.1\r\nhost: orders\r\nauthorization: Basic YWRhOmxvdmVsYWNl\r\n\
                 content-type: application/xml\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
                ORDER.len()
            );
            stream.write_all(head.as_bytes()).unwrap();
            // That the server asks for the body says that it has taken the request in.
            let mut go_on = [0; 25];
            stream.read_exact(&mut go_on).unwrap();
            assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
            stream
        })
        .collect();
    service.terminate();
    for stream in &mut requests {
        stream.write_all(ORDER.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("<total>11.00</total>"), "{answer}");
    }
    let rest = service.end();
    // Each request passed five connections.
    assert_eq!(rest, "ledger: in=40 delivered=40 failed=0 dropped=0 in_flight=0\n");
}

#[test]
fn a_second_signal_does_not_wait() {
    let mut service = Service::start();
    let mut stream = TcpStream::connect(service.address()).unwrap();
    stream
        .write_all(
            b"POST /orders HTTP/1.1\r\nhost: orders\r\nauthorization: Basic YWRhOmxvdmVsYWNl\r\n\
            content-type: application/xml\r\ncontent-length: 9\r\nexpect: 100-continue\r\n\r\n",
        )
        .unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).unwrap();
    // The request holds up the stop. That the server takes no more connections says that the stop has begun.
    service.terminate();
    while TcpStream::connect(service.address()).is_ok() {
        std::thread::yield_now();
    }
    service.terminate();
    assert_eq!(service.process.wait().unwrap().code(), Some(1));
}

fn tempfile(name: &str, content: &[u8]) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("playhouse-{}-{name}", std::process::id()));
    std::fs::write(&path, content).unwrap();
    path
}
