//! A flow as data: its graph, its pictures and its figures.

use playhouse_engine::{
    ActorStatistics, ConnectionKind, Director, Error, Event, Format, Graph, Light, Outbox, Ports, Result, filter, map,
    sink, source,
};

use crate::common::{Collect, Pass, SOON, both, collect, director, numbered, room, tap};

struct Sort;

impl Light for Sort {
    fn ports(&self) -> Ports {
        Ports::sink(Format::TEXT).with_outbox("urgent", Format::TEXT).with_optional_outbox("rest", Format::ANY)
    }

    fn handle(&self, _: &Event, _: &mut Outbox) -> Result<()> {
        Ok(())
    }
}

fn orders() -> Director {
    let mut director = Director::new("the \"orders\"");
    let source = director.register("source", source(|_| async { Ok(()) }));
    let sort = director.register("sort", Sort);
    let (end, _): (Collect, _) = collect();
    let end = director.register_with("end", end, room(16));
    let log = director.register("log", sink(|_| Ok(())));
    director.connect(source, sort);
    director.connect(sort.port("urgent"), end.port("fast \"lane\""));
    director.connect(sort.port("rest"), end);
    director.connect_error(sort, end.port("errors"));
    director.connect_log(log);
    director
}

fn graph() -> Graph {
    orders().build().unwrap().graph().clone()
}

#[test]
fn the_graph_is_drawn_for_graphviz() {
    let expected = r#"digraph "the \"orders\"" {
  rankdir=LR;
  node [shape=box];
  "source" [shape=oval];
  "sort" [shape=box];
  "end" [shape=box];
  "log" [shape=box];
  "(log)" [shape=oval];
  "source" -> "sort" [label=""];
  "sort" -> "end" [label="urgent > fast \"lane\""];
  "sort" -> "end" [label="rest"];
  "sort" -> "end" [style=dashed, color=red, label="error > errors"];
  "(log)" -> "log" [style=dotted, label=""];
}
"#;
    assert_eq!(graph().to_dot(), expected);
}

#[test]
fn the_graph_is_drawn_for_mermaid() {
    let expected = r#"flowchart LR
  a0(["source"])
  a1["sort"]
  a2["end"]
  a3["log"]
  log(["(log)"])
  a0 --> a1
  a1 -->|"urgent > fast #quot;lane#quot;"| a2
  a1 -->|"rest"| a2
  a1 -.->|"error > errors"| a2
  log -.-> a3
"#;
    assert_eq!(graph().to_mermaid(), expected);
}

#[test]
fn an_inbox_with_a_name_is_drawn_though_its_outbox_has_none() {
    let mut director = Director::new("test");
    let source = director.register("source", source(|_| async { Ok(()) }));
    let (end, _) = collect();
    let end = director.register("end", end);
    director.connect(source, end.port("left"));
    let flow = director.build().unwrap();
    assert!(flow.graph().to_dot().contains(r#"[label="> left"]"#));
}

#[test]
fn the_graph_serialises() {
    let json = serde_json::to_value(graph()).unwrap();
    assert_eq!(json["name"], "the \"orders\"");
    let sort = &json["actors"][1];
    assert_eq!(sort["name"], "sort");
    assert!(sort["type_name"].as_str().unwrap().ends_with("Sort"));
    assert_eq!(sort["role"], "pipe");
    assert_eq!(sort["within"], serde_json::Value::Null);
    assert_eq!(sort["inboxes"][0]["format"], "text");
    let rest = &sort["outboxes"][1];
    assert_eq!((rest["name"].as_str(), rest["optional"].as_bool()), (Some("rest"), Some(true)));
    let end = &json["actors"][2];
    assert_eq!(end["policy"]["capacity"], 16);
    assert_eq!(end["policy"]["deadline"], "1m");
    assert_eq!(end["inboxes"][1]["name"], "fast \"lane\"");
    assert_eq!(
        json["connections"][1],
        serde_json::json!({"from": 1, "outbox": "urgent", "to": 2, "inbox": "fast \"lane\"", "kind": "data"})
    );
    assert_eq!(
        json["connections"][4],
        serde_json::json!({"from": null, "outbox": null, "to": 3, "inbox": "inbox", "kind": "log"})
    );
}

#[test]
fn the_graph_says_which_actors_run_within_anothers_task() {
    let mut director = Director::new("test");
    let source = director.register("source", source(|_| async { Ok(()) }));
    let pass = director.register("pass", Pass);
    let light = director.register("light", map(Event::clone));
    let end = director.register("end", sink(|_| Ok(())));
    director.connect(source, pass);
    director.connect(pass, light);
    director.connect(light, end);
    let flow = director.build().unwrap();
    let within: Vec<_> = flow.graph().actors.iter().map(|actor| actor.within.as_deref()).collect();
    assert_eq!(within, [None, None, Some("pass"), Some("pass")]);
    assert_eq!(flow.graph().connections[0].kind, ConnectionKind::Data);
}

/// Runs a flow with every kind of connection, and returns its figures but for times.
async fn figures(settings: playhouse_engine::Settings) -> (Vec<ActorStatistics>, Vec<u64>, String) {
    let mut director = director(settings);
    let (tap, entry) = tap();
    let tap = director.register("tap", tap);
    let first = director.register("first", map(Event::clone));
    let even = director.register("even", filter(|event| event.payload().to_string().ends_with(['0', '2', '4'])));
    let split = director.register("split", map(|event: &Event| vec![event.branch("a"), event.branch("b")]));
    let pass = director.register("pass", Pass);
    let faulty = director.register(
        "faulty",
        map(|event: &Event| match event.payload().to_string().as_str() {
            "3" => panic!("on purpose"),
            "5" => Err(Error::gone("gone")),
            _ => Ok(event.clone()),
        }),
    );
    let ((end, _), (errors, _)) = (collect(), collect());
    let (end, errors) = (director.register("end", end), director.register("errors", errors));
    director.connect(tap, first);
    director.connect(first, [even, faulty, pass]);
    director.connect(even, split);
    director.connect(split, end);
    director.connect(pass, end.port("passed"));
    director.connect(faulty, end.port("well"));
    director.connect_error(faulty, errors);
    let running = director.build().unwrap().start().await.unwrap();
    entry.send_all(numbered(10)).await.unwrap();
    let monitor = running.monitor();
    let ledger = running.stop(SOON).await.unwrap();
    let statistics = monitor.statistics();
    assert_eq!(statistics.ledger, ledger);
    let edges = statistics.connections.iter().map(|edge| edge.sent).collect();
    (statistics.actors, edges, ledger.to_string())
}

#[tokio::test]
async fn figures_are_the_same_with_fusion_and_without() {
    let counts = |actors: &[ActorStatistics]| {
        let count = |actor: &ActorStatistics| {
            let ActorStatistics { name, received, sent, delivered, failed, shed, dropped, queued, .. } = actor.clone();
            (name, [received, sent, delivered, failed, shed, dropped, queued as u64])
        };
        actors.iter().map(count).collect::<Vec<_>>()
    };
    both(async |settings| {
        let (actors, edges, ledger) = figures(settings).await;
        let expected = [
            ("tap", [0, 10, 0, 0, 0, 0, 0]),
            ("first", [10, 30, 10, 0, 0, 0, 0]),
            ("even", [10, 3, 10, 0, 0, 0, 0]),
            ("split", [3, 6, 3, 0, 0, 0, 0]),
            ("pass", [10, 10, 10, 0, 0, 0, 0]),
            ("faulty", [10, 10, 8, 2, 0, 0, 0]),
            ("end", [24, 0, 24, 0, 0, 0, 0]),
            ("errors", [2, 0, 2, 0, 0, 0, 0]),
        ];
        assert_eq!(counts(&actors), expected.map(|(name, counts)| (name.to_owned(), counts)));
        assert_eq!(edges, [10, 10, 10, 10, 3, 6, 10, 8, 2]);
        assert_eq!(ledger, "in=69 delivered=67 failed=2 dropped=0 in_flight=0");
    })
    .await;
}

#[tokio::test]
async fn figures_serialise() {
    let (actors, ..) = figures(playhouse_engine::Settings::default()).await;
    let json = serde_json::to_value(&actors[5]).unwrap();
    assert_eq!((&json["name"], &json["failed"], &json["received"]), (&"faulty".into(), &2.into(), &10.into()));
}
