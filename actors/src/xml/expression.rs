//! XPath as people mean it: a name without a prefix is an element of that name in whatever namespace. XPath 1.0 means
//! one in no namespace, so such names are written out as tests of the local name. Functions, variables and axes are
//! checked here, since libxml2 would find them wrong only when it gets there.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// Enough for any expression written by hand, and so few that no expression can exhaust a thread's stack.
const MOST_TOKENS: usize = 1_000;

/// How deep brackets may be nested: each level takes a dozen frames of libxml2.
const MOST_NESTED: usize = 64;

const AXES: [&str; 13] = [
    "ancestor",
    "ancestor-or-self",
    "attribute",
    "child",
    "descendant",
    "descendant-or-self",
    "following",
    "following-sibling",
    "namespace",
    "parent",
    "preceding",
    "preceding-sibling",
    "self",
];

/// The functions of XPath 1.0, and how many arguments each takes.
const FUNCTIONS: [(&str, RangeInclusive<usize>); 27] = [
    ("boolean", 1..=1),
    ("ceiling", 1..=1),
    ("concat", 2..=usize::MAX),
    ("contains", 2..=2),
    ("count", 1..=1),
    ("false", 0..=0),
    ("floor", 1..=1),
    ("id", 1..=1),
    ("lang", 1..=1),
    ("last", 0..=0),
    ("local-name", 0..=1),
    ("name", 0..=1),
    ("namespace-uri", 0..=1),
    ("normalize-space", 0..=1),
    ("not", 1..=1),
    ("number", 0..=1),
    ("position", 0..=0),
    ("round", 1..=1),
    ("starts-with", 2..=2),
    ("string", 0..=1),
    ("string-length", 0..=1),
    ("substring", 2..=3),
    ("substring-after", 2..=2),
    ("substring-before", 2..=2),
    ("sum", 1..=1),
    ("translate", 3..=3),
    ("true", 0..=0),
];

/// An expression whose names are written out.
#[derive(Debug, Default)]
pub(super) struct Expression {
    pub(super) text: String,
    /// The prefixes that it uses.
    pub(super) prefixes: BTreeSet<String>,
}

impl Expression {
    /// Reads an expression; every problem that is found is told.
    pub(super) fn read(source: &str) -> Result<Self, Vec<String>> {
        let mut reader = Reader {
            source,
            rest: source,
            tokens: 0,
            operand_expected: true,
            attribute: false,
            open: Vec::new(),
            written: Self::default(),
            problems: Vec::new(),
        };
        while reader.token() {}
        if let Some(open) = reader.open.pop() {
            reader.problems.push(format!("`{}` is not closed", open.bracket));
        }
        if reader.problems.is_empty() { Ok(reader.written) } else { Err(reader.problems) }
    }
}

/// A bracket that waits for its end.
struct Open<'a> {
    bracket: char,
    /// The function whose arguments it holds.
    function: Option<&'a str>,
    commas: usize,
    empty: bool,
}

struct Reader<'a> {
    source: &'a str,
    rest: &'a str,
    tokens: usize,
    /// Whether an operand comes next, and no operator: it decides what `*`, `and` and `div` are.
    operand_expected: bool,
    /// Whether the next name is an attribute's or a namespace's, which no default namespace touches.
    attribute: bool,
    open: Vec<Open<'a>>,
    written: Expression,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    /// Takes one token. `false` means that nothing can follow.
    fn token(&mut self) -> bool {
        self.skip_space();
        let Some(first) = self.rest.chars().next() else {
            return false;
        };
        self.tokens += 1;
        if self.tokens > MOST_TOKENS {
            return self.stop(format!("it has more than {MOST_TOKENS} parts"));
        }
        if first != ')'
            && let Some(open) = self.open.last_mut()
        {
            open.empty = false;
        }
        let second = self.rest[first.len_utf8()..].chars().next();
        match first {
            '"' | '\'' => self.literal(first),
            '0'..='9' => self.number(),
            '.' if second.is_some_and(|next| next.is_ascii_digit()) => self.number(),
            '$' => {
                self.take(1);
                let (prefix, name) = self.qualified();
                let name = prefix.map_or(name.to_owned(), |prefix| format!("{prefix}:{name}"));
                self.problems.push(format!("`${name}` is no value: there are no variables here"));
                self.operand_expected = false;
                true
            }
            '(' => self.open('(', None),
            '[' => self.open('[', None),
            ')' => self.close('('),
            ']' => self.close('['),
            '@' => {
                self.attribute = true;
                self.symbol(1, true)
            }
            ',' => {
                match self.open.last_mut() {
                    Some(open) if open.function.is_some() => open.commas += 1,
                    _ => return self.stop("a `,` stands outside of a function's arguments".to_owned()),
                }
                self.symbol(1, true)
            }
            '*' => {
                let operand = self.operand_expected;
                self.attribute = false;
                self.symbol(1, !operand)
            }
            '.' => self.symbol(if second == Some('.') { 2 } else { 1 }, false),
            '/' => {
                let two = second == Some('/');
                self.symbol(if two { 2 } else { 1 }, true)
            }
            '<' | '>' if second == Some('=') => self.symbol(2, true),
            '!' if second == Some('=') => self.symbol(2, true),
            '|' | '+' | '-' | '=' | '<' | '>' => self.symbol(1, true),
            _ if is_name_start(first) => self.name(),
            _ => self.stop(format!("`{first}` has no meaning there")),
        }
    }

    fn name(&mut self) -> bool {
        if !self.operand_expected {
            let name = self.local();
            if !matches!(name, "and" | "or" | "div" | "mod") {
                return self.stop(format!("expected an operator, found `{name}`"));
            }
            self.write(name);
            self.operand_expected = true;
            return true;
        }
        let (prefix, name) = self.qualified();
        self.skip_space();
        if self.rest.starts_with("::") {
            if !AXES.contains(&name) || prefix.is_some() {
                self.problems.push(format!("there is no axis `{name}`"));
            }
            self.attribute = matches!(name, "attribute" | "namespace");
            self.write(name);
            return self.symbol(2, true);
        }
        self.operand_expected = false;
        if self.rest.starts_with('(') {
            return self.call(prefix, name);
        }
        let attribute = std::mem::take(&mut self.attribute);
        match prefix {
            Some(prefix) => {
                self.written.prefixes.insert(prefix.to_owned());
                self.write(&format!("{prefix}:{name}"));
            }
            None if attribute => self.write(name),
            None => self.write(&format!("*[local-name()='{name}']")),
        }
        true
    }

    /// Takes what stands before a `(`: a test of a node's type, or a function.
    fn call(&mut self, prefix: Option<&str>, name: &'a str) -> bool {
        self.attribute = false;
        self.write(name);
        if matches!(name, "comment" | "text" | "node" | "processing-instruction") && prefix.is_none() {
            return self.open('(', None);
        }
        if let Some(prefix) = prefix {
            self.problems.push(format!("there is no function `{prefix}:{name}`"));
        } else if !FUNCTIONS.iter().any(|(known, _)| *known == name) {
            self.problems.push(format!("there is no function `{name}`"));
        }
        self.open('(', Some(name))
    }

    fn open(&mut self, bracket: char, function: Option<&'a str>) -> bool {
        if self.open.len() == MOST_NESTED {
            return self.stop(format!("its brackets are nested deeper than {MOST_NESTED} levels"));
        }
        self.open.push(Open { bracket, function, commas: 0, empty: true });
        self.symbol(1, true)
    }

    fn close(&mut self, bracket: char) -> bool {
        let found = if bracket == '(' { ')' } else { ']' };
        let Some(open) = self.open.pop().filter(|open| open.bracket == bracket) else {
            return self.stop(format!("`{found}` closes nothing"));
        };
        if let Some(name) = open.function {
            let given = if open.empty { 0 } else { open.commas + 1 };
            let taken = FUNCTIONS.iter().find(|(known, _)| *known == name).map(|(_, taken)| taken);
            if let Some(taken) = taken.filter(|taken| !taken.contains(&given)) {
                let expected = match (taken.start(), taken.end()) {
                    (least, &usize::MAX) => format!("at least {least}"),
                    (least, most) if least == most => least.to_string(),
                    (least, most) => format!("{least} to {most}"),
                };
                self.problems.push(format!("the function `{name}` takes {expected} arguments, and gets {given}"));
            }
        }
        self.symbol(1, false)
    }

    fn literal(&mut self, quote: char) -> bool {
        match self.rest[1..].find(quote) {
            Some(end) => self.symbol(end + 2, false),
            None => self.stop(format!("the text that begins at {} does not end", self.excerpt())),
        }
    }

    fn number(&mut self) -> bool {
        let digits = |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let mut length = digits(self.rest);
        if self.rest[length..].starts_with('.') {
            length += 1 + digits(&self.rest[length + 1..]);
        }
        self.symbol(length, false)
    }

    /// Takes `a`, `p:a` or `p:*`.
    fn qualified(&mut self) -> (Option<&'a str>, &'a str) {
        let first = self.local();
        let after = self.rest.strip_prefix(':').filter(|after| !after.starts_with(':'));
        match after {
            Some(after) if after.starts_with('*') => {
                self.take(1);
                (Some(first), self.take(1))
            }
            Some(after) if after.starts_with(is_name_start) => {
                self.take(1);
                (Some(first), self.local())
            }
            _ => (None, first),
        }
    }

    fn local(&mut self) -> &'a str {
        let end = self.rest.find(|c: char| !is_name(c)).unwrap_or(self.rest.len());
        self.take(end)
    }

    fn symbol(&mut self, length: usize, operand_expected: bool) -> bool {
        let text = self.take(length);
        self.write(text);
        self.operand_expected = operand_expected;
        true
    }

    /// A blank after each part keeps apart what must not run together.
    fn write(&mut self, text: &str) {
        self.written.text.push_str(text);
        self.written.text.push(' ');
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (text, rest) = self.rest.split_at(length);
        self.rest = rest;
        text
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
    }

    fn stop(&mut self, problem: String) -> bool {
        self.problems.push(format!("{problem} (at character {})", self.position()));
        self.open.clear();
        false
    }

    fn position(&self) -> usize {
        self.source[..self.source.len() - self.rest.len()].chars().count() + 1
    }

    fn excerpt(&self) -> String {
        format!("`{}`", self.rest.chars().take(20).collect::<String>())
    }
}

/// What is beyond ASCII is left to libxml2 to judge.
fn is_name_start(character: char) -> bool {
    character.is_ascii_alphabetic() || character == '_' || !character.is_ascii()
}

fn is_name(character: char) -> bool {
    is_name_start(character) || character.is_ascii_digit() || matches!(character, '-' | '.')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[track_caller]
    fn rewritten(source: &str) -> String {
        Expression::read(source).unwrap().text.replace(' ', "")
    }

    fn problems(source: &str) -> Vec<String> {
        Expression::read(source).unwrap_err()
    }

    #[test]
    fn bare_names_of_elements_are_written_out_and_nothing_else_is() {
        let name = |name: &str| format!("*[local-name()='{name}']");
        let (a, b, div) = (name("a"), name("b"), name("div"));
        for (source, expected) in [
            ("a", a.clone()),
            ("/a/b", format!("/{a}/{b}")),
            ("//a[@b='a']", format!("//{a}[@b='a']")),
            ("child :: a", format!("child::{a}")),
            ("attribute::a", "attribute::a".to_owned()),
            ("ancestor-or-self::a/@b", format!("ancestor-or-self::{a}/@b")),
            ("@*", "@*".to_owned()),
            ("p:a/p:*", "p:a/p:*".to_owned()),
            ("div div div", format!("{div}div{div}")),
            ("a*b", format!("{a}*{b}")),
            ("* * *", "***".to_owned()),
            ("a[1]and b", format!("{a}[1]and{b}")),
            ("count(a)-1", format!("count({a})-1")),
            ("a-1", name("a-1")),
            ("text()|comment()|processing-instruction('a')", "text()|comment()|processing-instruction('a')".to_owned()),
            ("\"a\" = 'b'", "\"a\"='b'".to_owned()),
            ("1.5 + .5 + 2.", "1.5+.5+2.".to_owned()),
            ("../a", format!("../{a}")),
            (".//a", format!(".//{a}")),
            ("(a)[last()]/b", format!("({a})[last()]/{b}")),
            ("été", name("été")),
            ("@xml:lang", "@xml:lang".to_owned()),
            ("@a = a", format!("@a={a}")),
        ] {
            assert_eq!(rewritten(source), expected, "{source}");
        }
    }

    #[test]
    fn prefixes_are_gathered() {
        let prefixes = Expression::read("p:a[q:b]/@r:c | 'x:y'").unwrap().prefixes;
        assert_eq!(prefixes.into_iter().collect::<Vec<_>>(), ["p", "q", "r"]);
    }

    #[test]
    fn every_problem_is_told() {
        assert_eq!(
            problems("matches(a) or $x = up::b or count() or substring(a)"),
            [
                "there is no function `matches`",
                "`$x` is no value: there are no variables here",
                "there is no axis `up`",
                "the function `count` takes 1 arguments, and gets 0",
                "the function `substring` takes 2 to 3 arguments, and gets 1",
            ]
        );
        for (source, expected) in [
            ("a b", "expected an operator, found `b` (at character 4)"),
            ("a[", "`[` is not closed"),
            ("a)", "`)` closes nothing (at character 2)"),
            ("(a]", "`]` closes nothing (at character 3)"),
            ("a = 'b", "the text that begins at `'b` does not end (at character 5)"),
            ("a # b", "`#` has no meaning there (at character 3)"),
            ("a, b", "a `,` stands outside of a function's arguments (at character 2)"),
        ] {
            assert_eq!(problems(source), [expected], "{source}");
        }
    }

    #[test]
    fn no_expression_is_too_long_or_too_deep_for_the_stack() {
        assert!(problems(&"(".repeat(100_000))[0].contains("nested deeper than 64 levels"));
        assert!(problems(&"a/".repeat(100_000))[0].contains("more than 1000 parts"));
    }
}
