//! What a document takes in memory while it is read: alone in its process, so that nothing else counts.
#![cfg(target_os = "linux")]
#![cfg(feature = "convert")]
#![allow(clippy::unwrap_used, reason = "a test may")]

use playhouse_actors::json_xml::{Limits, XmlToJsonSettings, xml_to_json};

/// The most memory that this process ever held.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("Linux tells the peak of the memory");
    1024 * line.split_whitespace().nth(1).and_then(|number| number.parse::<usize>().ok()).expect("a number of KiB")
}

#[test]
fn a_node_takes_at_most_500_bytes_beside_its_text() {
    let nodes = 100_000;
    assert!(nodes <= Limits::default().nodes);
    let document = |part: &str, nodes_of_part: usize| {
        let count = (nodes - 1) / nodes_of_part;
        format!("<r>{}</r>", part.repeat(count))
    };
    let many_names: String = (0..nodes - 1).map(|number| format!("<a{number}/>")).collect();
    let before = peak();
    for xml in [
        document("<a/>", 1),
        document("<a b=''/>", 2),
        document("<a><b/></a>", 2),
        document("<a><b/><c/></a>", 3),
        document("<a>t</a>", 1),
        document("<a/>t", 1),
        format!("<r>{many_names}</r>"),
    ] {
        assert!(xml_to_json(xml.as_bytes(), &XmlToJsonSettings::default()).is_ok());
        let grown = peak() - before;
        println!("{} KiB after {}", grown / 1024, &xml[..20]);
        assert!(grown < 500 * nodes + 2 * many_names.len(), "{} KiB after {}", grown / 1024, &xml[..20]);
    }
}
