//! Named values beside the payload: HTTP headers, path variables, who is logged in. Copied on write, and layered over
//! what a source already holds, so that a request's headers are never copied into a map of ours.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::text::Text;

/// A value of an attribute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Value {
    /// True or false.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// Text.
    Text(Text),
    /// Anything else that JSON can say.
    Json(Arc<serde_json::Value>),
}

impl Value {
    /// Returns the value where it is text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the value where it is a whole number.
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// Returns the value where it is true or false.
    #[must_use]
    pub fn as_boolean(&self) -> Option<bool> {
        match self {
            Self::Boolean(value) => Some(*value),
            _ => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => fmt::Display::fmt(value, formatter),
            Self::Integer(number) => fmt::Display::fmt(number, formatter),
            Self::Text(text) => formatter.write_str(text),
            Self::Json(value) => fmt::Display::fmt(value, formatter),
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Integer(number.into())
    }
}

impl From<Text> for Value {
    fn from(text: Text) -> Self {
        Self::Text(text)
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<serde_json::Value> for Value {
    fn from(value: serde_json::Value) -> Self {
        Self::Json(Arc::new(value))
    }
}

/// What a source holds already and lends to an event as attributes, such as the head of an HTTP request.
pub trait Layer: Send + Sync + 'static {
    /// Returns the value of the attribute `name`; text is borrowed, not copied.
    fn text(&self, name: &str) -> Option<Cow<'_, str>>;

    /// Shows every attribute to `visit`, for whoever writes the event out whole.
    fn each(&self, visit: &mut dyn FnMut(&str, &str));
}

/// An attribute as it lies: set by hand, or in the layer.
pub(crate) enum Seen<'a> {
    Own(&'a Value),
    Layer(&'a str),
}

/// The attributes of an event. A clone is one reference count; a change copies what was set by hand, never the layer
/// under it.
#[derive(Clone, Default)]
pub struct Attributes(Option<Arc<Inner>>);

#[derive(Clone, Default)]
struct Inner {
    layer: Option<Arc<dyn Layer>>,
    /// What was set above the layer; `None` hides an attribute of the layer. Few, so a look-up is a walk.
    set: Vec<(Text, Option<Value>)>,
}

impl Attributes {
    /// Makes attributes that show what `layer` holds.
    #[must_use]
    pub fn over(layer: Arc<dyn Layer>) -> Self {
        Self(Some(Arc::new(Inner { layer: Some(layer), set: Vec::new() })))
    }

    /// Makes attributes of what was set by hand, each name once.
    pub(crate) fn of(set: Vec<(Text, Option<Value>)>) -> Self {
        if set.is_empty() { Self::default() } else { Self(Some(Arc::new(Inner { layer: None, set }))) }
    }

    /// Returns the value of the attribute `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Value> {
        let inner = self.0.as_ref()?;
        match inner.own(name) {
            Some(own) => own.clone(),
            None => Some(Value::Text(inner.layer.as_ref()?.text(name)?.into_owned().into())),
        }
    }

    /// Returns the value of the attribute `name` where it is text, without a copy.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        let inner = self.0.as_ref()?;
        match inner.own(name) {
            Some(own) => own.as_ref()?.as_str().map(Cow::Borrowed),
            None => inner.layer.as_ref()?.text(name),
        }
    }

    /// Returns the value of the attribute `name` where it is a whole number.
    #[must_use]
    pub fn integer(&self, name: &str) -> Option<i64> {
        self.0.as_ref()?.own(name)?.as_ref()?.as_integer()
    }

    /// Says whether no attribute is set and nothing lies under them.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Sets the attribute `name`, in place of what it was.
    pub fn set(&mut self, name: impl Into<Text>, value: impl Into<Value>) {
        self.put(name.into(), Some(value.into()));
    }

    /// Takes the attribute `name` away.
    pub fn remove(&mut self, name: impl Into<Text>) {
        if self.0.is_some() {
            self.put(name.into(), None);
        }
    }

    /// Returns what was set by hand, in the order of setting, without the layer's.
    pub fn set_by_hand(&self) -> impl Iterator<Item = (&Text, &Value)> {
        let set = self.0.as_ref().map_or(&[][..], |inner| &inner.set);
        set.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)))
    }

    /// Shows every attribute to `visit`: what was set by hand first, then the layer's.
    pub fn each(&self, mut visit: impl FnMut(&str, &Value)) {
        self.visit(|name, seen| match seen {
            Seen::Own(value) => visit(name, value),
            Seen::Layer(text) => visit(name, &Value::Text(text.to_owned().into())),
        });
    }

    /// Does what [`Attributes::each`] does, without a copy of the layer's text.
    pub(crate) fn visit(&self, mut visit: impl FnMut(&str, Seen<'_>)) {
        for (name, value) in self.set_by_hand() {
            visit(name, Seen::Own(value));
        }
        let Some(inner) = &self.0 else { return };
        if let Some(layer) = &inner.layer {
            layer.each(&mut |name, text| {
                if inner.own(name).is_none() {
                    visit(name, Seen::Layer(text));
                }
            });
        }
    }

    fn put(&mut self, name: Text, value: Option<Value>) {
        let inner = Arc::make_mut(self.0.get_or_insert_default());
        match inner.set.iter_mut().find(|(known, _)| *known == name) {
            Some(entry) => entry.1 = value,
            None => inner.set.push((name, value)),
        }
    }
}

impl Inner {
    fn own(&self, name: &str) -> Option<&Option<Value>> {
        self.set.iter().find(|(known, _)| known.as_str() == name).map(|(_, value)| value)
    }
}

impl fmt::Debug for Attributes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = formatter.debug_map();
        self.each(|name, value| {
            map.entry(&name, &format_args!("{value}"));
        });
        map.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Headers;

    impl Layer for Headers {
        fn text(&self, name: &str) -> Option<Cow<'_, str>> {
            (name == "host").then_some(Cow::Borrowed("example.org"))
        }

        fn each(&self, visit: &mut dyn FnMut(&str, &str)) {
            visit("host", "example.org");
        }
    }

    #[test]
    fn what_is_set_lies_over_the_layer() {
        let mut attributes = Attributes::over(Arc::new(Headers));
        assert_eq!(attributes.text("host").as_deref(), Some("example.org"));
        attributes.set("host", "elsewhere");
        assert_eq!(attributes.text("host").as_deref(), Some("elsewhere"));
        attributes.remove("host");
        assert_eq!((attributes.text("host"), attributes.get("host")), (None, None));
        let mut seen = 0;
        attributes.each(|_, _| seen += 1);
        assert_eq!(seen, 0);
    }

    #[test]
    fn a_clone_does_not_see_what_is_set_later() {
        let mut first = Attributes::default();
        first.set("a", 1_i64);
        let second = first.clone();
        first.set("a", 2_i64);
        assert_eq!((first.integer("a"), second.integer("a")), (Some(2), Some(1)));
    }
}
