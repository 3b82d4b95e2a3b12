//! The routes of a server, made ready to be looked up.

use std::fmt::Write as _;

use http::{HeaderValue, Method};
use matchit::{Params, Router};
use playhouse_engine::{Error, Result};

use super::form::Forms;
use super::media::Pattern;
use super::route::{Opens, Route};

/// Where a request goes.
#[derive(Debug)]
pub(crate) struct Target {
    methods: Vec<Method>,
    /// By which outbox its requests leave; nothing where the server answers them itself.
    pub(crate) outbox: Option<usize>,
    /// By which outbox the messages of a WebSocket leave.
    #[cfg(feature = "websocket")]
    pub(crate) messages: Option<usize>,
    pub(crate) opens: Option<Opens>,
    takes: Vec<Pattern>,
    /// The header that says what is taken, for whoever sent something else.
    pub(crate) accept: Option<HeaderValue>,
    pub(crate) accepted: bool,
    pub(crate) streamed: bool,
    pub(crate) forms: Forms,
}

impl Target {
    pub(crate) fn takes(&self, essence: &str) -> bool {
        self.takes.is_empty() || self.takes.iter().any(|pattern| pattern.matches(essence))
    }

    pub(crate) fn takes_everything(&self) -> bool {
        self.takes.is_empty()
    }

    /// Names the content types that are taken.
    pub(crate) fn taken(&self) -> String {
        let names: Vec<_> = self.takes.iter().map(|pattern| format!("`{}`", pattern.as_str())).collect();
        names.join(", ")
    }

    fn has_method(&self, method: &Method) -> bool {
        self.methods.is_empty() || self.methods.contains(method)
    }
}

/// All that share one path.
#[derive(Debug)]
struct Place {
    targets: Vec<Target>,
    allow: HeaderValue,
}

/// What became of the look-up of a request.
pub(crate) enum Found<'t, 'p> {
    Target {
        address: Address,
        variables: Option<Params<'t, 'p>>,
    },
    /// The place exists, and the server answers for it what can be done there.
    Options,
    NotAllowed,
    Nothing,
}

/// Which target of which place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address {
    place: usize,
    target: usize,
}

#[derive(Debug)]
pub(crate) struct Routes {
    places: Vec<Place>,
    paths: Router<usize>,
    has_paths: bool,
    otherwise: Option<usize>,
    /// What can be done somewhere on this server.
    pub(crate) allow: HeaderValue,
}

impl Routes {
    /// # Errors
    /// `Malformed` where paths cannot be read, or say the same as others with different variables; it names them all.
    pub(crate) fn new(routes: &[Route]) -> Result<Self> {
        let outboxes = outboxes(routes);
        let number = |name: Option<&str>| outboxes.iter().position(|known| Some(*known) == name);
        let mut places: Vec<(Option<&str>, Vec<Target>)> = Vec::new();
        for route in routes {
            let target = Target {
                methods: route.methods.clone(),
                outbox: number(route.requests_leave_by()),
                #[cfg(feature = "websocket")]
                messages: number(route.messages_leave_by()),
                opens: route.opens.clone(),
                takes: route.takes.clone(),
                accept: list(route.takes.iter().map(Pattern::as_str)),
                accepted: route.accepted,
                streamed: route.streamed,
                forms: route.forms,
            };
            let path = route.path.as_deref().map(without_slash);
            match places.iter_mut().find(|(known, _)| *known == path) {
                Some((_, targets)) => targets.push(target),
                None => places.push((path, vec![target])),
            }
        }
        let mut table = Self {
            places: Vec::new(),
            paths: Router::new(),
            has_paths: false,
            otherwise: None,
            allow: allow(places.iter().flat_map(|(_, targets)| targets)),
        };
        let mut problems = Vec::new();
        for (number, (path, targets)) in places.into_iter().enumerate() {
            match path {
                None => table.otherwise = Some(number),
                Some(path) if !path.starts_with('/') => {
                    problems.push(format!("the path `{path}` of a route does not begin with `/`"));
                }
                Some(path) => {
                    table.has_paths = true;
                    if let Err(error) = table.paths.insert(path, number) {
                        problems.push(format!("the path `{path}` of a route cannot be used: {error}"));
                    }
                }
            }
            table.places.push(Place { allow: allow(&targets), targets });
        }
        if !problems.is_empty() {
            return Err(Error::malformed(problems.join("; ")));
        }
        Ok(table)
    }

    pub(crate) fn find<'t, 'p>(&'t self, method: &Method, path: &'p str) -> Found<'t, 'p> {
        let Some((number, variables)) = self.lookup(path) else { return Found::Nothing };
        let place = &self.places[number];
        let with = |method: &Method| place.targets.iter().position(|target| target.has_method(method));
        let target = match with(method) {
            None if *method == Method::HEAD => with(&Method::GET),
            target => target,
        };
        match target {
            // A route that takes every method leaves this one to the server all the same, or a browser could never ask.
            Some(target) if *method == Method::OPTIONS && place.targets[target].methods.is_empty() => Found::Options,
            Some(target) => Found::Target { address: Address { place: number, target }, variables },
            None if *method == Method::OPTIONS => Found::Options,
            None => Found::NotAllowed,
        }
    }

    pub(crate) fn target(&self, address: Address) -> &Target {
        &self.places[address.place].targets[address.target]
    }

    pub(crate) fn allow_at(&self, address: Address) -> &HeaderValue {
        &self.places[address.place].allow
    }

    /// Returns what can be done at `path`; what can be done anywhere, where nothing is there.
    pub(crate) fn allow_for(&self, path: &str) -> &HeaderValue {
        self.lookup(path).map_or(&self.allow, |(number, _)| &self.places[number].allow)
    }

    fn lookup<'t, 'p>(&'t self, path: &'p str) -> Option<(usize, Option<Params<'t, 'p>>)> {
        if self.has_paths
            && let Ok(found) = self.paths.at(without_slash(path))
        {
            return Some((*found.value, Some(found.params)));
        }
        self.otherwise.map(|number| (number, None))
    }
}

/// Returns the names of the outboxes, each once, in the order of the routes.
pub(crate) fn outboxes(routes: &[Route]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for name in routes.iter().flat_map(|route| [route.requests_leave_by(), route.messages_leave_by()]).flatten() {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn without_slash(path: &str) -> &str {
    match path.strip_suffix('/') {
        Some(shorter) if !shorter.is_empty() => shorter,
        _ => path,
    }
}

/// Returns the `Allow` header that says what `targets` take.
fn allow<'a>(targets: impl IntoIterator<Item = &'a Target>) -> HeaderValue {
    const ANY: [Method; 5] = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    let mut methods: Vec<Method> = Vec::new();
    for target in targets {
        let taken = if target.methods.is_empty() { &ANY[..] } else { &target.methods };
        for method in taken {
            if !methods.contains(method) {
                methods.push(method.clone());
                if *method == Method::GET && !methods.contains(&Method::HEAD) {
                    methods.push(Method::HEAD);
                }
            }
        }
    }
    if !methods.contains(&Method::OPTIONS) {
        methods.push(Method::OPTIONS);
    }
    list(methods.iter().map(Method::as_str)).unwrap_or_else(|| HeaderValue::from_static("OPTIONS"))
}

/// Returns a header value that lists `items`; nothing where there are none.
fn list<'a>(items: impl Iterator<Item = &'a str>) -> Option<HeaderValue> {
    let mut text = String::new();
    for item in items {
        let separator = if text.is_empty() { "" } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(text, "{separator}{item}");
    }
    if text.is_empty() { None } else { HeaderValue::try_from(text).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Routes {
        Routes::new(&[
            Route::get("/orders/{number}").outbox("look-up"),
            Route::delete("/orders/{number}").outbox("cancel"),
            Route::post("/orders/").outbox("orders"),
            Route::get("/files/{*rest}").outbox("look-up"),
        ])
        .unwrap()
    }

    #[track_caller]
    fn outbox(table: &Routes, method: &Method, path: &str) -> Option<usize> {
        match table.find(method, path) {
            Found::Target { address, .. } => table.target(address).outbox,
            _ => None,
        }
    }

    #[test]
    fn a_request_goes_where_its_method_and_path_lead() {
        let table = table();
        for (method, path, expected) in [
            (Method::GET, "/orders/7", Some(0)),
            (Method::HEAD, "/orders/7", Some(0)),
            (Method::DELETE, "/orders/7", Some(1)),
            (Method::POST, "/orders", Some(2)),
            (Method::POST, "/orders/", Some(2)),
            (Method::GET, "/files/a/b.txt", Some(0)),
            (Method::POST, "/orders/7", None),
            (Method::GET, "/", None),
        ] {
            assert_eq!(outbox(&table, &method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn variables_have_names() {
        let table = table();
        let Found::Target { variables: Some(variables), .. } = table.find(&Method::GET, "/files/a/b") else { panic!() };
        assert_eq!(variables.get("rest"), Some("a/b"));
    }

    #[test]
    fn what_is_not_allowed_says_what_is() {
        let table = table();
        assert!(matches!(table.find(&Method::PUT, "/orders/7"), Found::NotAllowed));
        assert_eq!(table.allow_for("/orders/7"), "GET, HEAD, DELETE, OPTIONS");
        assert!(matches!(table.find(&Method::OPTIONS, "/orders"), Found::Options));
        assert!(matches!(table.find(&Method::OPTIONS, "/nowhere"), Found::Nothing));
    }

    #[test]
    fn a_default_route_takes_what_no_other_takes() {
        let table = Routes::new(&[Route::get("/a").outbox("a"), Route::otherwise().outbox("rest")]).unwrap();
        assert_eq!(outbox(&table, &Method::GET, "/a"), Some(0));
        assert_eq!(outbox(&table, &Method::PUT, "/b"), Some(1));
        assert!(matches!(table.find(&Method::PUT, "/a"), Found::NotAllowed));
    }

    #[test]
    fn paths_that_cannot_be_used_are_all_named() {
        let routes = [Route::get("/a/{x}"), Route::get("/a/{y}"), Route::get("b"), Route::get("/c/{")];
        let error = Routes::new(&routes).unwrap_err();
        for named in ["`/a/{y}`", "the path `b` of a route does not begin with `/`", "`/c/{`"] {
            assert!(error.message().contains(named), "{error}");
        }
    }
}
