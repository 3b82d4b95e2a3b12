//! Sends requests by their method.

use std::fmt;

use playhouse_engine::{Error, Event, Format, Light, Outbox, Ports, Result, Text};

const METHOD: &str = "http.method";

/// Sends each HTTP request to the outbox that is named as its method.
///
/// A `HEAD` goes where a `GET` goes, unless there is an outbox for it: the HTTP server leaves the body of the answer out.
///
/// # Ports
/// The inbox `inbox`, for any format. An outbox for each method, which must be connected.
///
/// # Settings
/// The methods, in the order in which `Allow` lists them.
///
/// # Errors
/// `NotAllowed` for any other method. Connect the error route to the HTTP server, and the client gets a 405 with an `Allow`
/// header that lists the outboxes' methods. `Unprocessable` for an event that has no attribute `http.method`.
///
/// # Example
/// ```
/// use playhouse_actors::{MethodRouter, Null};
/// use playhouse_engine::{Director, source};
///
/// let mut director = Director::new("orders");
/// # let http = director.register("http", source(|_| async { Ok(()) }));
/// # let (find, create) = (director.register("find", Null), director.register("create", Null));
/// let methods = director.register("methods", MethodRouter::of(["GET", "POST"])?);
/// director.connect(http, methods);
/// director.connect(methods.port("GET"), find);
/// director.connect(methods.port("POST"), create);
/// # director.build()?;
/// # Ok::<_, playhouse_engine::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct MethodRouter {
    methods: Vec<Text>,
    /// Where a `HEAD` goes that has no outbox of its own.
    head: Option<usize>,
    allowed: AllowedMethods,
}

/// Which methods a [`MethodRouter`] takes: the cause of the error that refuses another. The HTTP server makes its `Allow`
/// header of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedMethods(String);

impl AllowedMethods {
    /// Returns the methods as the `Allow` header lists them.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AllowedMethods {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "expected one of {}", self.0)
    }
}

impl std::error::Error for AllowedMethods {}

impl MethodRouter {
    /// Makes a router with an outbox for each of `methods`.
    ///
    /// # Errors
    /// `Malformed` where there is none, or one is named twice or is no method in capitals.
    pub fn of<M: Into<String>>(methods: impl IntoIterator<Item = M>) -> Result<Self> {
        let methods: Vec<String> = methods.into_iter().map(Into::into).collect();
        let mut problems = Vec::new();
        for (number, method) in methods.iter().enumerate() {
            if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-') {
                problems.push(format!("`{method}` is no method in capitals, such as `GET`"));
            } else if methods[..number].contains(method) {
                problems.push(format!("`{method}` is there twice"));
            }
        }
        if methods.is_empty() {
            problems.push("there is no method".to_owned());
        }
        if !problems.is_empty() {
            return Err(Error::malformed(format!("no router of these methods: {}", problems.join("; "))));
        }
        let has_head = methods.iter().any(|method| method == "HEAD");
        let head = methods.iter().position(|method| method == "GET").filter(|_| !has_head);
        let mut allowed = methods.clone();
        if let Some(get) = head {
            allowed.insert(get + 1, "HEAD".to_owned());
        }
        let allowed = AllowedMethods(allowed.join(", "));
        Ok(Self { methods: methods.into_iter().map(Text::from).collect(), head, allowed })
    }
}

impl Light for MethodRouter {
    fn ports(&self) -> Ports {
        self.methods.iter().fold(Ports::sink(Format::ANY), |ports, name| ports.with_outbox(name.clone(), Format::ANY))
    }

    fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        let Some(method) = event.attributes().text(METHOD) else {
            return Err(Error::unprocessable(format!("the event has no attribute `{METHOD}`")));
        };
        let named = self.methods.iter().position(|name| name.as_str() == method);
        match named.or(self.head.filter(|_| method == "HEAD")) {
            Some(outbox) => {
                out.push_at(outbox, event);
                Ok(())
            }
            None => {
                let message = format!("the method `{method}` is not allowed here");
                Err(Error::not_allowed(message).caused_by(self.allowed.clone()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use playhouse_engine::{Kind, testing};

    use super::*;

    fn request(method: &str) -> Event {
        Event::new("a").with_attribute(METHOD, method.to_owned())
    }

    #[tokio::test]
    async fn a_request_goes_to_the_outbox_of_its_method() {
        let names = ["GET", "POST", "DELETE", "PATCH", "HEAD", "PUT", "OPTIONS"];
        let router = MethodRouter::of(names).unwrap();
        for name in names {
            let outputs = testing::feed(&router, request(name)).await.unwrap();
            assert_eq!(outputs.iter().map(|output| output.outbox.as_str()).collect::<Vec<_>>(), [name]);
        }
    }

    #[tokio::test]
    async fn another_method_is_not_allowed_and_the_error_lists_those_that_are() {
        let router = MethodRouter::of(["GET", "POST"]).unwrap();
        for method in ["PUT", "get", "", "GET "] {
            let error = testing::feed(&router, request(method)).await.unwrap_err();
            assert_eq!(error.kind(), Kind::NotAllowed);
            let expected = format!("the method `{method}` is not allowed here: expected one of GET, HEAD, POST");
            assert_eq!(error.to_string(), expected);
        }
    }

    #[tokio::test]
    async fn a_head_goes_where_a_get_goes() {
        let router = MethodRouter::of(["POST", "GET"]).unwrap();
        assert_eq!(testing::feed(&router, request("HEAD")).await.unwrap()[0].outbox, "GET");
        let router = MethodRouter::of(["POST"]).unwrap();
        assert!(testing::feed(&router, request("HEAD")).await.is_err());
    }

    #[tokio::test]
    async fn what_is_no_request_says_so() {
        let router = MethodRouter::of(["GET"]).unwrap();
        let error = testing::feed(&router, Event::new("a")).await.unwrap_err();
        assert_eq!((error.kind(), error.message()), (Kind::Unprocessable, "the event has no attribute `http.method`"));
    }

    #[test]
    fn wrong_methods_are_refused_all_at_once() {
        let error = MethodRouter::of(["get", "PUT", "PUT", ""]).unwrap_err();
        assert_eq!(
            error.message(),
            "no router of these methods: `get` is no method in capitals, such as `GET`; `PUT` is there twice; \
             `` is no method in capitals, such as `GET`"
        );
        assert!(MethodRouter::of([] as [&str; 0]).is_err());
    }
}
