//! The catalogue of actors, `docs/actors.md`, is made of the actors' own docs. This test fails where they differ, or where an
//! actor's docs lack a part; `PLAYHOUSE_BLESS=1 cargo test --test catalogue` writes the page anew.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use playhouse::testing::golden_text;

/// The groups of actors, in their order. An actor that stands in none is refused by the test.
const GROUPS: &[(&str, &str, &[&str])] = &[
    ("HTTP", "Requests from outside, and to others.", &["HttpServer", "HttpClient", "WebSocketClient", "BasicAuth"]),
    (
        "Combining and holding",
        "One event of many, many of one, and events that wait.",
        &["Join", "Batch", "Split", "Dedup", "Throttle", "Delay", "Cache"],
    ),
    (
        "Converting and checking",
        "Another payload of the one that comes, or the same once it is known to be valid.",
        &["JsonToXml", "XmlToJson", "PropertiesToXml", "Xslt", "Xsd", "JsonSchema"],
    ),
    ("Routing", "Where an event goes.", &["Router", "DocumentRouter", "MethodRouter", "RoundRobin", "Switch"]),
    (
        "Shaping",
        "Attributes, statuses, cookies and bodies.",
        &["SetAttribute", "SetFromXml", "SetStatus", "SetCookie", "ReadCookie", "RestResponse", "Template", "FormBody"],
    ),
    ("Mail", "Mails that come in as events, and events that go out as mails.", &["SmtpSource", "SmtpSink"]),
    (
        "Files and logs",
        "What is read from files and written to them.",
        &["FileSource", "FileSink", "LogFile", "LogEvents"],
    ),
    (
        "Beginnings and ends",
        "Where events come from without a network, and where they go.",
        &["Generator", "Stdout", "Null"],
    ),
    ("One of several processes", "What must be done once for all of them.", &["Leader", "Fence"]),
    (
        "TCP and UDP",
        "Events between processes, and lines, frames and datagrams of anybody.",
        &["TcpSource", "TcpSink", "UdpSource"],
    ),
    ("Programs", "What the system's programs make of an event.", &["Exec"]),
    (
        "Majordomo",
        "Services over ZeroMQ, with a broker that loses nothing.",
        &["MdpBroker", "MdpClient", "MdpWorker", "MdpRegistry"],
    ),
    ("ZeroMQ", "Events, or frames of others, without a broker.", &["ZmqPush", "ZmqPull", "ZmqPub", "ZmqSub"]),
];

/// The feature that an actor needs; the others are always there. Those of the crate `playhouse_mdp` need `mdp`.
const FEATURES: &[(&str, &str)] = &[
    ("HttpServer", "http"),
    ("HttpClient", "http-client"),
    ("WebSocketClient", "websocket"),
    ("BasicAuth", "auth"),
    ("Cache", "cache"),
    ("Leader", "leader"),
    ("Fence", "leader"),
    ("FileSource", "files"),
    ("FileSink", "files"),
    ("LogFile", "files"),
    ("LogEvents", "files"),
    ("Router", "router"),
    ("DocumentRouter", "router"),
    ("MethodRouter", "http"),
    ("Switch", "template"),
    ("SetFromXml", "xslt"),
    ("SetStatus", "http"),
    ("SetCookie", "cookie"),
    ("ReadCookie", "cookie"),
    ("RestResponse", "http"),
    ("Template", "template"),
    ("FormBody", "http"),
    ("SmtpSource", "smtp-in"),
    ("SmtpSink", "smtp-out"),
    ("JsonToXml", "convert"),
    ("XmlToJson", "convert"),
    ("PropertiesToXml", "convert"),
    ("Xsd", "xslt"),
    ("JsonSchema", "json-schema"),
    ("Xslt", "xslt"),
    ("TcpSource", "net"),
    ("TcpSink", "net"),
    ("UdpSource", "net"),
    ("Exec", "exec"),
];

/// What the actors of Compysition are here. An empty name stands for what is not there yet.
const COMPYSITION: &[(&str, &str, &str)] = &[
    ("Null", "Null", ""),
    ("STDOUT", "Stdout", "`complete` is `whole-event`"),
    ("EventGenerator", "Generator", "several producers are several generators"),
    (
        "UDPEventGenerator",
        "Leader",
        "behind a `Generator`; the `environment_scope` is `scope`. A majority of known members elects, and a leader stays one \
         until it ends: the greatest id does not win. `is_master` and `wait_until_master` are `is_leader` and \
         `wait_until_leader` of its `status`",
    ),
    (
        "CronEventGenerator",
        "Generator",
        "by `Generator::cron`: the dictionary is a pattern, second, minute, hour, day, month, `day_of_week`, year; its default \
         is `*/12 * * * * *`. `{\"hour\": \"3\", \"minute\": \"30\", \"second\": \"0\"}` is `0 30 3 * * *`. Days of the week count \
         from Sunday, so `0-4` is `MON-FRI`; `day` and `day_of_week` together are `15 * +MON`, `day=\"last\"` is `L`, \
         `\"2nd fri\"` is `FRI#2` as day of the week. A `week` of the year has no pattern",
    ),
    ("UDPCronEventGenerator", "Leader", "behind a `Generator::cron`"),
    ("EventLogger", "LogEvents", "`logged_tags` is `show`; the event is shown whole only where `whole-event` says so"),
    (
        "FileLogger",
        "LogFile",
        "fed by `Director::connect_log` or any outbox; times are in UTC, and what is on several lines is escaped",
    ),
    ("RedactedFileLogger", "LogFile", "`patterns` are `redact`, with the feature `redact`"),
    ("HTTPServer", "HttpServer", "routes are values, not JSON; requests and replies are logged by `with_access_log`"),
    ("BasicAuth", "BasicAuth", "users come from a file or a closure; nothing is subclassed"),
    ("XSLT", "Xslt", ""),
    ("XSD", "Xsd", ""),
    ("JSONValidator", "JsonSchema", "a schema that is wrong stops the flow's build"),
    ("DictToXML", "JsonToXml", ""),
    ("PropertiesToXML", "PropertiesToXml", ""),
    ("XMLToDict", "XmlToJson", ""),
    ("EventDataAggregator", "Join", "`mode = \"merge\"`"),
    ("EventDataXMLAggregator", "Join", "`mode = \"xml\"`; `key` is `root`"),
    ("EventJoin", "Join", "`purge_interval` is `time-out`, and what is missing is an error"),
    ("XMLEventJoin", "Join", "`mode = \"xml\"`; `key` is `root`"),
    ("JSONEventJoin", "Join", "`mode = \"merge\"`"),
    ("FlowController", "", "not needed: any outbox leads to several actors, any inbox takes from several"),
    ("EventRouter", "Router", "rules with and-chains; what a whitelist does not match fails unless told to be dropped"),
    ("SimpleRouter", "Router", ""),
    ("HTTPMethodEventRouter", "MethodRouter", ""),
    ("EventAttributeModifier", "SetAttribute", ""),
    ("EventAttributeLookupModifier", "SetAttribute", ""),
    ("HTTPStatusModifier", "SetStatus", ""),
    ("XpathEventAttributeModifer", "SetFromXml", ""),
    ("HTTPXpathEventAttributeModifier", "SetFromXml", ""),
    ("JSONEventAttributeModifier", "SetAttribute", ""),
    ("HTTPJSONAttributeModifier", "SetAttribute", ""),
    ("EventDataEventAttributeModifier", "SetAttribute", ""),
    ("EventDataStaticAttributeModifier", "SetAttribute", ""),
    ("SetCookie", "SetCookie", "signed"),
    ("RESTTranslator", "RestResponse", ""),
    ("TCPOut", "TcpSink", "acknowledged, and sent again; `ZmqPush` where the other side is ZeroMQ"),
    ("TCPIn", "TcpSource", "acknowledges; `ZmqPull` where the other side is ZeroMQ"),
    ("ZMQPush", "ZmqPush", ""),
    ("ZMQPull", "ZmqPull", ""),
    (
        "SMTPOut",
        "SmtpSink",
        "`form = \"xml\"`, and `from_address` is `from`; a mail that is not sent is an error, one without a recipient too, and to other \
         machines it goes over TLS",
    ),
    (
        "SMTPIn",
        "SmtpSource",
        "`payload = \"xml\"` for the document, whose text is `Body`; one port each; a mail is taken when its event has been delivered",
    ),
    ("MDPClient", "MdpClient", ""),
    ("MDPWorker", "MdpWorker", ""),
    ("MDPBroker", "MdpBroker", ""),
    ("MDPBrokerRegistrationService", "MdpRegistry", ""),
];

/// What each actor's docs must have, in this order. Others may stand before the last.
const SECTIONS: [&str; 4] = ["# Ports", "# Settings", "# Errors", "# Example"];

const PAGE: &str = "docs/actors.md";

/// An actor, as its source tells of it.
struct Described {
    package: &'static str,
    docs: Vec<String>,
}

#[test]
fn the_catalogue_is_what_the_actors_say_of_themselves() {
    let (actors, mut problems) = described();
    let grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, _, names)| names.iter().copied()).collect();
    for name in actors.keys() {
        if !grouped.contains(&name.as_str()) {
            problems.push(format!("`{name}` stands in no group of `tests/catalogue.rs`"));
        }
    }
    for name in grouped.iter().chain(COMPYSITION.iter().map(|(_, name, _)| name).filter(|name| !name.is_empty())) {
        if !actors.contains_key(*name) {
            problems.push(format!("`{name}` stands in `tests/catalogue.rs`, and no such actor was found"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    golden_text(PAGE, &page(&actors));
}

/// Finds the public actors, and says what their docs lack.
fn described() -> (BTreeMap<String, Described>, Vec<String>) {
    let (mut actors, mut problems) = (BTreeMap::new(), Vec::new());
    for (package, folder, public) in [
        ("playhouse_actors", "actors/src", "actors/src/lib.rs"),
        ("playhouse_mdp", "mdp/src/actors", "mdp/src/actors/mod.rs"),
    ] {
        let public = fs::read_to_string(public).unwrap();
        let public: Vec<&str> = public.split(|letter: char| !letter.is_alphanumeric() && letter != '_').collect();
        for path in sources(Path::new(folder)) {
            let text = fs::read_to_string(&path).unwrap();
            let lines: Vec<&str> = text.lines().collect();
            let names = lines.iter().filter_map(|line| {
                let implemented = line.strip_prefix("impl ")?;
                let implemented = implemented.strip_prefix("playhouse_engine::").unwrap_or(implemented);
                let implemented =
                    implemented.strip_prefix("Actor for ").or_else(|| implemented.strip_prefix("Light for "))?;
                Some(implemented.split([' ', '<']).next().unwrap_or_default())
            });
            for name in names.filter(|name| public.contains(name)) {
                let docs = docs_of(&lines, name);
                let found = SECTIONS.map(|section| docs.iter().position(|line| line == section));
                if found.iter().any(Option::is_none) || !found.is_sorted() {
                    let expected = SECTIONS.join("`, `");
                    problems.push(format!(
                        "`{}`: the docs of `{name}` lack some of `{expected}`, in this order",
                        path.display()
                    ));
                }
                if docs.first().is_none_or(String::is_empty) {
                    problems.push(format!("`{}`: the docs of `{name}` do not say what it does", path.display()));
                }
                actors.insert(name.to_owned(), Described { package, docs });
            }
        }
    }
    (actors, problems)
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Returns the doc comment of a type.
fn docs_of(lines: &[&str], name: &str) -> Vec<String> {
    let begins = |line: &str| {
        let rest = line.strip_prefix("pub struct ").and_then(|rest| rest.strip_prefix(name));
        rest.is_some_and(|rest| !rest.starts_with(|letter: char| letter.is_alphanumeric() || letter == '_'))
    };
    let Some(end) = lines.iter().position(|line| begins(line)) else { return Vec::new() };
    let above = lines[..end].iter().rev().take_while(|line| line.starts_with("///") || line.starts_with("#["));
    let mut docs: Vec<String> = above
        .filter_map(|line| line.strip_prefix("///"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line).to_owned())
        .collect();
    docs.reverse();
    docs
}

fn page(actors: &BTreeMap<String, Described>) -> String {
    let mut page = String::from(
        "# Actors\n\nMade of the actors' own docs by `PLAYHOUSE_BLESS=1 cargo test --test catalogue`; write there, not here.\n\n",
    );
    for (group, about, names) in GROUPS {
        let links: Vec<_> = names.iter().map(|name| format!("[{name}](#{})", name.to_lowercase())).collect();
        let _ = writeln!(page, "- **{group}**: {about} {}", links.join(", "));
    }
    page.push_str("- [What Compysition's actors are called here](#names-of-compysition)\n");
    for (group, _, names) in GROUPS {
        let _ = write!(page, "\n## {group}\n");
        for name in *names {
            let Described { package, docs } = &actors[*name];
            let _ = write!(page, "\n### {name}\n\n");
            let feature = FEATURES.iter().find(|(known, _)| known == name).map(|(_, feature)| *feature);
            let feature = if *package == "playhouse_mdp" { Some("mdp") } else { feature };
            let within = if *package == "playhouse_mdp" { "mdp" } else { "actors" };
            let _ = match feature {
                Some(feature) => write!(page, "`playhouse::{within}::{name}`, with the feature `{feature}`.\n\n"),
                None => write!(page, "`playhouse::{within}::{name}`.\n\n"),
            };
            write_docs(docs, &mut page);
        }
    }
    page.push_str("\n## Names of Compysition\n\n| Compysition | here | |\n|---|---|---|\n");
    for (old, new, remark) in COMPYSITION {
        let new = if new.is_empty() { String::new() } else { format!("[{new}](#{})", new.to_lowercase()) };
        let _ = writeln!(page, "| `{old}` | {new} | {remark} |");
    }
    page
}

/// Writes a doc comment as a part of the page: its headings lower, its links to other types as names, and its examples without
/// the lines that docs hide.
fn write_docs(docs: &[String], page: &mut String) {
    let mut in_code = false;
    for line in docs {
        if let Some(language) = line.strip_prefix("```") {
            in_code = !in_code;
            let is_rust = in_code && (language.is_empty() || language == "no_run");
            let _ = writeln!(
                page,
                "```{}",
                if is_rust {
                    "rust"
                } else if in_code {
                    language
                } else {
                    ""
                }
            );
        } else if in_code {
            if line == "#" || line.starts_with("# ") {
                continue;
            }
            // Users have these crates by way of the facade.
            let line = [("playhouse_actors::", "playhouse::actors::"), ("playhouse_mdp::", "playhouse::mdp::")]
                .iter()
                .chain(&[("playhouse_engine::", "playhouse::")])
                .fold(line.clone(), |line, (old, new)| line.replace(old, new));
            let _ = writeln!(page, "{line}");
        } else if let Some(heading) = line.strip_prefix("# ") {
            let _ = writeln!(page, "#### {heading}");
        } else {
            let _ = writeln!(page, "{}", without_links(line));
        }
    }
}

/// Makes a name of each link to a type: ``[`Null`](crate::Null)`` is `` `Null` ``.
fn without_links(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("[`") {
        let Some((name, after)) = after.split_once("`]") else { break };
        text.push_str(before);
        let target = after.strip_prefix('(').and_then(|after| after.split_once(')'));
        let _ = match target {
            Some((target, _)) if target.contains("://") => write!(text, "[`{name}`]({target})"),
            _ => write!(text, "`{name}`"),
        };
        rest = target.map_or(after, |(_, after)| after);
    }
    text.push_str(rest);
    text
}

#[test]
fn links_to_types_become_their_names() {
    let line = "See [`Null`], [`Retry`](playhouse_engine::Retry) and [`RFC`](https://example.org).";
    assert_eq!(without_links(line), "See `Null`, `Retry` and [`RFC`](https://example.org).");
}
