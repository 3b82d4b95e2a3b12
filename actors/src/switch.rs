//! Sends events by expressions.

use std::fmt;

use minijinja::{Environment, UndefinedBehavior};
use playhouse_engine::{Error, Event, Format, Light, Outbox, Ports, Result, Text};
use serde::{Deserialize, Serialize};

use crate::template::view::{View, failure};

/// Sends each event to the outbox of the **first** case whose expression is true, else to `otherwise`.
///
/// Expressions are those of Jinja templates, and see what a [`Template`](crate::Template) sees: `payload`, `json`,
/// `attributes["http.path"]`, `id`, `correlation_id` and `error`. What is not there is false, and equal to nothing;
/// a filter may want a `default` for it. For many
/// patterns, or where several outboxes may get an event, there is the `Router`.
///
/// # Ports
/// The inbox `inbox`, for any format. An outbox for each name in the cases and for `otherwise`, which must be connected.
///
/// # Settings
///
/// | name | default | meaning |
/// |---|---|---|
/// | `cases` | none | expressions (`when`) and outboxes (`to`), looked at in this order |
/// | `otherwise` | none | the outbox for the rest; without one the rest fails |
/// | `steps` | 10,000 | how many steps all cases may take together |
/// | `largest-payload` | 1 MiB | the largest payload that is looked into |
///
/// # Errors
/// `NotFound` where no case is true and there is no `otherwise`. `Malformed` where an expression asks for `json` and the
/// payload is text that is none; `TooLarge` beyond the limits; `Unprocessable` where an expression cannot be computed, such as
/// text that is added to a number.
///
/// # Example
/// ```
/// use playhouse_actors::{Switch, SwitchSettings};
///
/// let switch = Switch::new(
///     SwitchSettings::default()
///         .case("json.total > 1000 and attributes['http.method'] == 'POST'", "approval")
///         .case("json.lines | default([]) | length > 50", "bulk")
///         .otherwise("ordinary"),
/// )?;
/// # Ok::<_, playhouse_engine::Error>(())
/// ```
pub struct Switch {
    environment: Environment<'static>,
    outboxes: Vec<Text>,
    largest_payload: usize,
}

/// The cases of a [`Switch`], in code and in files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SwitchSettings {
    /// The cases, in the order in which they are looked at.
    pub cases: Vec<Case>,
    /// The outbox for what none of them is true for.
    pub otherwise: Option<String>,
    /// How many steps all cases may take together; 10,000 by default.
    pub steps: u64,
    /// The largest payload that is looked into, in bytes; 1 MiB by default.
    pub largest_payload: usize,
}

/// One case of a [`Switch`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Case {
    /// The expression.
    pub when: String,
    /// The outbox for what it is true for.
    pub to: String,
}

impl Default for SwitchSettings {
    fn default() -> Self {
        Self { cases: Vec::new(), otherwise: None, steps: 10_000, largest_payload: 1 << 20 }
    }
}

impl SwitchSettings {
    /// Sends what the expression `when` is true for to the outbox `to`, unless a case before it did.
    #[must_use]
    pub fn case(mut self, when: impl Into<String>, to: impl Into<String>) -> Self {
        self.cases.push(Case { when: when.into(), to: to.into() });
        self
    }

    /// Sends the rest to the outbox `to`.
    #[must_use]
    pub fn otherwise(mut self, to: impl Into<String>) -> Self {
        self.otherwise = Some(to.into());
        self
    }
}

/// The name of the one template in the environment: the cases as a chain that writes the number of an outbox.
const NAME: &str = "switch";

impl Switch {
    /// Compiles the expressions.
    ///
    /// # Errors
    /// `Malformed` with everything that is wrong with the cases.
    pub fn new(settings: SwitchSettings) -> Result<Self> {
        let SwitchSettings { cases, otherwise, steps, largest_payload } = settings;
        let mut environment = crate::template::environment(steps);
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        let mut problems = Vec::new();
        if cases.is_empty() {
            problems.push("there is no case".to_owned());
        }
        let mut outboxes: Vec<String> = Vec::new();
        let mut number = |name: &str| {
            outboxes.iter().position(|known| known == name).unwrap_or_else(|| {
                outboxes.push(name.to_owned());
                outboxes.len() - 1
            })
        };
        let mut chain = String::new();
        for (at, Case { when, to }) in (1..).zip(&cases) {
            // By itself, so that no expression can end early and say something else of the chain.
            if let Err(error) = environment.compile_expression_owned(when.clone()) {
                problems.push(format!("case {at}: the expression `{when}` is wrong: {error}"));
            }
            if to.is_empty() {
                problems.push(format!("case {at}: the outbox has no name"));
            }
            let word = if at == 1 { "if" } else { "elif" };
            chain.push_str(&format!("{{% {word} ({when}) %}}{}", number(to)));
        }
        if let Some(to) = &otherwise {
            chain.push_str(&format!("{{% else %}}{}", number(to)));
        }
        chain.push_str("{% endif %}");
        if problems.is_empty()
            && let Err(error) = environment.add_template_owned(NAME, chain)
        {
            problems.push(format!("the cases do not compile together: {error}"));
        }
        if !problems.is_empty() {
            return Err(Error::malformed(format!("no switch of these cases: {}", problems.join("; "))));
        }
        Ok(Self { environment, outboxes: outboxes.into_iter().map(Text::from).collect(), largest_payload })
    }
}

impl Light for Switch {
    fn ports(&self) -> Ports {
        self.outboxes.iter().fold(Ports::sink(Format::ANY), |ports, name| ports.with_outbox(name.clone(), Format::ANY))
    }

    fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        let template = self.environment.get_template(NAME);
        let number = template
            .and_then(|template| template.render(View::of(event, self.largest_payload)))
            .map_err(|error| failure("the switch", &error))?;
        match number.parse() {
            Ok(outbox) => {
                out.push_at(outbox, event);
                Ok(())
            }
            // None was written.
            Err(_) => Err(Error::not_found("no case is true for the event")),
        }
    }
}

impl fmt::Debug for Switch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Switch").field("outboxes", &self.outboxes).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use playhouse_engine::{Kind, Payload, Xml, testing};
    use serde_json::json;

    use super::*;

    async fn sent(switch: &Switch, event: Event) -> Result<String> {
        let mut outputs = testing::feed(switch, event).await?;
        assert_eq!(outputs.len(), 1);
        Ok(outputs.remove(0).outbox)
    }

    fn switch() -> Switch {
        let settings = SwitchSettings::default()
            .case("json.total > 1000 and attributes['http.method'] == 'POST'", "approval")
            .case("json.lines | default([]) | length > 2", "bulk")
            .case("'urgent' in json.tags or attributes.level == 3", "approval")
            .otherwise("ordinary");
        Switch::new(settings).unwrap()
    }

    #[tokio::test]
    async fn the_first_case_that_is_true_counts() {
        let switch = switch();
        for (value, method, outbox) in [
            (json!({"total": 1001}), "POST", "approval"),
            (json!({"total": 1001}), "GET", "ordinary"),
            (json!({"total": 1, "lines": [1, 2, 3]}), "POST", "bulk"),
            (json!({"total": 2000, "lines": [1, 2, 3]}), "POST", "approval"),
            (json!({"total": 1, "tags": ["urgent"]}), "POST", "approval"),
            (json!({"total": 1, "lines": [], "tags": []}), "POST", "ordinary"),
        ] {
            for payload in [Payload::from(value.clone()), value.to_string().into()] {
                let event = Event::new(payload).with_attribute("http.method", method);
                assert_eq!(sent(&switch, event).await.unwrap(), outbox, "{value} {method}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_not_there_is_false() {
        let settings = SwitchSettings::default()
            .case("attributes['gone'] == 'x' or json.a.b.c == 1 or error.kind == 'timeout'", "yes")
            .otherwise("no");
        let switch = Switch::new(settings).unwrap();
        for payload in [Payload::Empty, json!({}).into(), json!({"a": null}).into(), Xml::new("<a/>").into()] {
            assert_eq!(sent(&switch, Event::new(payload)).await.unwrap(), "no");
        }
        let failed = Event::new(()).with_error(Error::timeout("late"));
        assert_eq!(sent(&switch, failed).await.unwrap(), "yes");
    }

    #[tokio::test]
    async fn what_no_case_is_true_for_fails() {
        let switch = Switch::new(SwitchSettings::default().case("payload == 'a'", "a")).unwrap();
        assert_eq!(sent(&switch, Event::new("a")).await.unwrap(), "a");
        assert_eq!(sent(&switch, Event::new("b")).await.unwrap_err().kind(), Kind::NotFound);
    }

    #[tokio::test]
    async fn hostile_payloads_are_typed_errors() {
        let switch = switch();
        for (payload, kind) in [
            (Payload::from("{bad"), Kind::Malformed),
            ("[".repeat(100_000).into(), Kind::Malformed),
            (vec![0xff].into(), Kind::Malformed),
            (" ".repeat((1 << 20) + 1).into(), Kind::TooLarge),
            (json!({"total": "text", "lines": 7}).into(), Kind::Unprocessable),
        ] {
            assert_eq!(sent(&switch, Event::new(payload)).await.unwrap_err().kind(), kind);
        }
        let long = Switch::new(SwitchSettings {
            steps: 5,
            ..SwitchSettings::default().case("1 + 1 + json.a + json.b == 5", "a")
        });
        let error = sent(&long.unwrap(), Event::new(json!({"a": 1, "b": 2}))).await.unwrap_err();
        assert_eq!((error.kind(), error.message()), (Kind::TooLarge, "the switch takes more steps than are allowed"));
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let settings = SwitchSettings::default().case("1 +", "a").case("true) %}9{% if (true", "b").case("true", "");
        let message = Switch::new(settings).unwrap_err().to_string();
        for expected in
            ["case 1: the expression `1 +` is wrong", "case 2: the expression", "case 3: the outbox has no name"]
        {
            assert!(message.contains(expected), "{expected} in {message}");
        }
        assert!(Switch::new(SwitchSettings::default()).is_err());
    }

    #[test]
    fn settings_in_a_file_are_those_in_code() {
        let text = r#"
            otherwise = "rest"
            [[cases]]
            when = "json.a == 1"
            to = "one"
        "#;
        let in_code = SwitchSettings::default().case("json.a == 1", "one").otherwise("rest");
        assert_eq!(toml::from_str::<SwitchSettings>(text).unwrap(), in_code);
    }
}
