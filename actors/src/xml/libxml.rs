//! The binding to libxml2 and libxslt: the one file with `unsafe` in it, safe to use from outside. It holds documents,
//! stylesheets, XPath expressions and schemas, runs these on documents, and turns what the libraries report into [`Failure`]s.
//! Knows no events.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_ulong, c_void};
use std::marker::PhantomData;
use std::mem::{self, MaybeUninit};
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;

use super::found::Found;
use super::limits::{DocumentLimits, Refusal};
use super::report::{Failure, FailureKind, Log};
use super::run::Run;
use super::sources::{SCHEMA_NAME, Sources, TEXT_NAME};
use crate::xslt::Limits;
use crate::xslt::output::{Method, Output, OutputSettings};

/// A parsed document. It belongs to one thread at a time.
pub struct Document {
    // A transform may change it (`xsl:strip-space`).
    pointer: NonNull<ffi::Doc>,
    depth: u32,
}

// SAFETY: a document is reached through its owner alone; its dictionary, which results share, counts its references
// under a lock of libxml2.
unsafe impl Send for Document {}

impl Document {
    /// Parses untrusted bytes for any use but a transform. `is_text` says that they are UTF-8 whatever the declaration
    /// says.
    pub(crate) fn parse_as(bytes: &[u8], is_text: bool, limits: &DocumentLimits) -> Result<Self, Failure> {
        Self::parse_run(bytes, is_text, None, true, Run::new(Arc::default(), *limits))
    }

    /// Parses untrusted bytes for a transform, which allows what `sources` say.
    pub(crate) fn parse_for_transform(
        bytes: &[u8],
        is_text: bool,
        url: Option<&CStr>,
        sources: Arc<Sources>,
        limits: &DocumentLimits,
    ) -> Result<Self, Failure> {
        Self::parse_run(bytes, is_text, url, false, Run::new(sources, *limits))
    }

    fn parse_run(bytes: &[u8], is_text: bool, url: Option<&CStr>, big_lines: bool, run: Run) -> Result<Self, Failure> {
        start();
        let limits = run.limits;
        let scope = Scope::enter(run);
        let parsed = parse_limited(bytes, url, is_text, big_lines, &limits);
        let log = scope.leave().log;
        parsed.map_err(|refusal| refusal.unwrap_or_else(|| log.malformed()))
    }

    /// Returns how deep the elements are nested.
    pub(crate) fn depth(&self) -> u32 {
        self.depth
    }

    /// Returns what a prefix stands for where the document first declares it.
    pub(crate) fn namespace(&self, prefix: &CStr) -> Option<&CStr> {
        // SAFETY: the document is only read; the URI is a string of it, which lives as long and does not change.
        unsafe {
            let uri = ffi::playhouse_xml_namespace(self.pointer.as_ptr(), prefix.as_ptr());
            (!uri.is_null()).then(|| CStr::from_ptr(uri))
        }
    }
}

impl Drop for Document {
    fn drop(&mut self) {
        // SAFETY: the document is ours and nothing points into it: a run's context is freed before `apply` returns.
        unsafe { ffi::xmlFreeDoc(self.pointer.as_ptr()) }
    }
}

/// A compiled stylesheet, shared by any number of threads: libxslt only reads it in a run.
#[derive(Debug)]
pub(crate) struct Stylesheet {
    pointer: NonNull<ffi::Style>,
    sources: Arc<Sources>,
    output: OutputSettings,
    warning: Option<String>,
}

// SAFETY: a run keeps all that changes in its context, and the dictionary counts references under a lock.
unsafe impl Send for Stylesheet {}
// SAFETY: as above; libxslt documents that one stylesheet serves many threads at once.
unsafe impl Sync for Stylesheet {}

impl Stylesheet {
    /// Compiles a stylesheet from its text, which has no folder: it can import by absolute path only.
    pub(crate) fn from_text(text: &str) -> Result<Self, Failure> {
        let mut sources = Sources::default();
        sources.add(TEXT_NAME.to_owned(), text.as_bytes().into());
        Self::compile(TEXT_NAME, sources)
    }

    /// Reads and compiles a stylesheet; what it imports and includes is found relative to it.
    pub(crate) fn from_file(path: &Path) -> Result<Self, Failure> {
        let mut sources = Sources::default();
        let url = sources.read(path)?;
        Self::compile(&url, sources)
    }

    /// Returns what a run may read.
    pub(crate) fn sources(&self) -> &Arc<Sources> {
        &self.sources
    }

    /// Returns what a run may read, to change it.
    pub(crate) fn sources_mut(&mut self) -> &mut Sources {
        Arc::make_mut(&mut self.sources)
    }

    /// Returns what `xsl:output` says.
    pub(crate) fn output(&self) -> &OutputSettings {
        &self.output
    }

    /// Returns what libxslt finds wrong with the stylesheet and yet puts up with.
    pub(crate) fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    fn compile(url: &str, sources: Sources) -> Result<Self, Failure> {
        static COMPILE: Mutex<()> = Mutex::new(());
        start();
        let text = sources.get(url).unwrap_or_default();
        let (is_text, url) = (url == TEXT_NAME, c_string(url)?);
        // What libxslt registers while it compiles is shared by the process.
        let _lock = COMPILE.lock().unwrap_or_else(PoisonError::into_inner);
        let scope = Scope::enter(Run::trusted(Arc::new(sources)));
        let Some(document) = parse(&text, Some(&url), is_text, ptr::null_mut(), None) else {
            return Err(scope.leave().log.stylesheet());
        };
        // SAFETY: the document is ours, and parsed. On success the stylesheet owns it, otherwise it stays ours.
        let Some(pointer) = NonNull::new(unsafe { ffi::xsltParseStylesheetDoc(document.as_ptr()) }) else {
            // SAFETY: a failed compile leaves the document to its caller.
            unsafe { ffi::xmlFreeDoc(document.as_ptr()) };
            return Err(scope.leave().log.stylesheet());
        };
        let run = scope.leave();
        let mut style =
            Self { pointer, sources: run.sources, output: OutputSettings::default(), warning: run.log.warning() };
        let mut output = ffi::OutputSettings::default();
        // SAFETY: both pointers are valid for the call; the strings filled in are the stylesheet's own.
        let (method, encoding, media_type) = unsafe {
            ffi::playhouse_xslt_output(style.pointer.as_ptr(), &mut output);
            (string(output.method), string(output.encoding), string(output.media_type))
        };
        style.output = OutputSettings::read(method.as_deref(), encoding, media_type, |_| {
            // SAFETY: the name is a string of the stylesheet; the handler found is closed at once.
            unsafe {
                let handler = ffi::xmlFindCharEncodingHandler(output.encoding);
                !handler.is_null() && ffi::xmlCharEncCloseFunc(handler) >= 0
            }
        })?;
        Ok(style)
    }

    /// Tells whether the stylesheet declares a global parameter; a namespace is written `{uri}name`.
    pub(crate) fn declares(&self, name: &str) -> Result<bool, Failure> {
        let (uri, local) = match name.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
            Some((uri, local)) => (Some(c_string(uri)?), c_string(local)?),
            None => (None, c_string(name)?),
        };
        let uri = uri.as_ref().map_or(ptr::null(), |uri| uri.as_ptr());
        // SAFETY: the strings live for the call; the stylesheet is only read.
        Ok(unsafe { ffi::playhouse_xslt_declares(self.pointer.as_ptr(), local.as_ptr(), uri) } != 0)
    }

    /// Makes a parameter for this stylesheet, which must declare it.
    pub(crate) fn parameter(&self, name: &str, value: &str) -> Result<Parameter, Failure> {
        if !self.declares(name)? {
            let message = format!("the stylesheet declares no parameter `{name}`");
            return Err(Failure::new(FailureKind::Stylesheet, message));
        }
        Ok(Parameter { name: c_string(name)?, value: c_string(value)? })
    }

    /// Transforms a document; what `xsl:message` said is added to `messages`. The stack MUST have room for
    /// `limits.recursion` levels.
    pub(crate) fn apply(
        &self,
        document: &mut Document,
        parameters: &[Parameter],
        limits: &Limits,
        messages: &mut Vec<String>,
    ) -> Result<Output, Failure> {
        let scope = Scope::enter(Run::new(self.sources.clone(), limits.document()));
        let (state, output) = self.run(document, parameters, limits);
        let mut log = scope.leave().log;
        let result = match (state, output) {
            (ffi::STATE_OK, Some(output)) if !log.failed => Ok(output),
            (ffi::STATE_STOPPED, _) => Err(log.stopped()),
            _ => Err(log.transform()),
        };
        messages.append(&mut log.messages);
        result
    }

    fn run(&self, document: &mut Document, parameters: &[Parameter], limits: &Limits) -> (c_int, Option<Output>) {
        let recursion = c_int::try_from(limits.recursion).unwrap_or(c_int::MAX);
        let operations = c_ulong::try_from(limits.operations).unwrap_or(c_ulong::MAX);
        let (style, source) = (self.pointer.as_ptr(), document.pointer.as_ptr());
        // SAFETY: stylesheet and document outlive the context, which is freed below; the document is borrowed mutably,
        // so that no other run changes it meanwhile.
        let Some(context) =
            NonNull::new(unsafe { ffi::playhouse_xslt_transform(style, source, recursion, operations) })
        else {
            return (ffi::STATE_ERROR, None);
        };
        for parameter in parameters {
            // SAFETY: libxslt copies both strings; a name that it refuses is reported and sets the state.
            unsafe {
                ffi::xsltQuoteOneUserParam(context.as_ptr(), parameter.name.as_ptr(), parameter.value.as_ptr());
            }
        }
        // SAFETY: the context was made for this stylesheet and document. The result is ours, and keeps what it needs
        // of the context's dictionary by reference count, so that the context can go first.
        let (state, result) = unsafe {
            let (params, output, profile) = (ptr::null(), ptr::null(), ptr::null_mut());
            let result = ffi::xsltApplyStylesheetUser(style, source, params, output, profile, context.as_ptr());
            let state = ffi::playhouse_xslt_state(context.as_ptr());
            ffi::xsltFreeTransformContext(context.as_ptr());
            (state, result)
        };
        let Some(result) = NonNull::new(result).map(|pointer| Document { pointer, depth: 0 }) else {
            return (state, None);
        };
        (state, self.serialise(&result))
    }

    fn serialise(&self, result: &Document) -> Option<Output> {
        let (mut text, mut length) = (ptr::null_mut(), 0);
        // SAFETY: result and stylesheet are valid; the text is allocated by libxml2 and ours from here on.
        let (status, is_html) = unsafe {
            let status =
                ffi::xsltSaveResultToString(&mut text, &mut length, result.pointer.as_ptr(), self.pointer.as_ptr());
            (status, ffi::playhouse_xml_is_html(result.pointer.as_ptr()) != 0)
        };
        let body = match NonNull::new(text) {
            Some(pointer) => Bytes::from_owner(Buffer { pointer, length: usize::try_from(length).unwrap_or(0) }),
            None => Bytes::new(),
        };
        let method = self.output.method.unwrap_or(if is_html { Method::Html } else { Method::Xml });
        (status == 0).then_some(Output { body, method })
    }
}

impl Drop for Stylesheet {
    fn drop(&mut self) {
        // SAFETY: no run is under way, since each borrows the stylesheet.
        unsafe { ffi::xsltFreeStylesheet(self.pointer.as_ptr()) }
    }
}

/// A parameter of a stylesheet. Its value is a string, never an XPath expression.
#[derive(Clone, Debug)]
pub(crate) struct Parameter {
    name: CString,
    value: CString,
}

impl Parameter {
    pub(crate) fn has_the_name_of(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// A compiled XPath expression, shared by any number of threads.
#[derive(Debug)]
pub(crate) struct Compiled {
    pointer: NonNull<ffi::Expression>,
}

// SAFETY: an evaluation keeps what changes in its context. All that it stores in the expression are the functions that
// it looked up, the same ones for everybody, as libxslt does with the stylesheets that threads share.
unsafe impl Send for Compiled {}
// SAFETY: as above.
unsafe impl Sync for Compiled {}

impl Compiled {
    pub(crate) fn new(expression: &CStr) -> Result<Self, Failure> {
        start();
        let scope = Scope::enter(Run::new(Arc::default(), DocumentLimits::default()));
        // SAFETY: the string lives for the call.
        let pointer = NonNull::new(unsafe { ffi::xmlXPathCompile(expression.as_ptr()) });
        let log = scope.leave().log;
        pointer.map(|pointer| Self { pointer }).ok_or_else(|| log.expression())
    }

    /// Evaluates on a document; `namespaces` are prefixes and URIs in turn.
    pub(crate) fn evaluate(
        &self,
        document: &Document,
        namespaces: &[&CStr],
        operations: u64,
        most: usize,
    ) -> Result<Found, Failure> {
        let scope = Scope::enter(Run::new(Arc::default(), DocumentLimits::default()));
        let operations = c_ulong::try_from(operations).unwrap_or(c_ulong::MAX);
        let namespaces: Vec<_> = namespaces.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect();
        let (expression, source) = (self.pointer.as_ptr(), document.pointer.as_ptr());
        // SAFETY: all live for the call, and the strings end with a null. The document is only read: it is not `Sync`,
        // so nobody else has it meanwhile.
        let found = unsafe { ffi::playhouse_xml_xpath_evaluate(expression, source, operations, namespaces.as_ptr()) };
        let found = NonNull::new(found).map(|pointer| Object { pointer });
        let log = scope.leave().log;
        found.ok_or_else(|| log.expression()).and_then(|found| found.read(document, most))
    }
}

impl Drop for Compiled {
    fn drop(&mut self) {
        // SAFETY: no evaluation is under way, since each borrows the expression.
        unsafe { ffi::xmlXPathFreeCompExpr(self.pointer.as_ptr()) }
    }
}

/// What an XPath found, as libxml2 has it: its nodes are those of a document.
struct Object {
    pointer: NonNull<ffi::Object>,
}

impl Object {
    fn read(&self, _document: &Document, most: usize) -> Result<Found, Failure> {
        let object = self.pointer.as_ptr();
        let mut value = ffi::Value { kind: 0, number: 0.0, nodes: 0, text: ptr::null() };
        // SAFETY: both are valid for the call. The text is the object's own.
        let text = unsafe {
            ffi::playhouse_xml_found(object, &mut value);
            string(value.text)
        };
        match value.kind {
            ffi::FOUND_BOOLEAN => return Ok(Found::Boolean(value.number != 0.0)),
            ffi::FOUND_NUMBER => return Ok(Found::Number(value.number)),
            ffi::FOUND_TEXT => return Ok(Found::Text(text.unwrap_or_default())),
            ffi::FOUND_NODES => {}
            _ => return Err(Log::default().expression()),
        }
        let too_large = || Failure::new(FailureKind::TooLarge, format!("it finds more than {most} bytes"));
        let mut left = most;
        let mut nodes = Vec::new();
        for index in 0..value.nodes {
            // SAFETY: the index is one of the set's, and its nodes live as long as the document, which is borrowed. The
            // text is ours, and freed once it is copied.
            let text = unsafe {
                let text = ffi::playhouse_xml_found_node(object, index);
                let copy = string(text);
                ffi::playhouse_xml_free(text.cast_mut().cast());
                copy.unwrap_or_default()
            };
            // What a list costs counts too, lest many empty nodes fill the memory.
            left = left.checked_sub(text.len() + mem::size_of::<String>()).ok_or_else(too_large)?;
            nodes.push(text);
        }
        Ok(Found::Nodes(nodes))
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        // SAFETY: ours alone, and freed here only.
        unsafe { ffi::xmlXPathFreeObject(self.pointer.as_ptr()) }
    }
}

/// A compiled XML schema, shared by any number of threads.
#[derive(Debug)]
pub(crate) struct Schema {
    pointer: NonNull<ffi::Schema>,
    /// What the schema was compiled from, and points into.
    _document: Document,
}

// SAFETY: a validation keeps what changes in its context. Only one without a schema would add to it what the document
// names.
unsafe impl Send for Schema {}
// SAFETY: as above.
unsafe impl Sync for Schema {}

impl Schema {
    /// Compiles a schema, and what it imports and includes. Every problem is told.
    pub(crate) fn compile(url: &str, sources: Sources) -> Result<Self, Failure> {
        start();
        let text = sources.get(url).unwrap_or_default();
        let (is_text, url) = (url == SCHEMA_NAME, c_string(url)?);
        let scope = Scope::enter(Run::trusted(Arc::new(sources)));
        let document = parse(&text, Some(&url), is_text, ptr::null_mut(), None);
        let schema = document.map(|pointer| Document { pointer, depth: 0 }).and_then(|document| {
            // SAFETY: the document outlives the schema, which is dropped first. The context is freed at once.
            let schema = unsafe {
                let context = ffi::xmlSchemaNewDocParserCtxt(document.pointer.as_ptr());
                let schema = ffi::xmlSchemaParse(context);
                ffi::xmlSchemaFreeParserCtxt(context);
                schema
            };
            Some(Self { pointer: NonNull::new(schema)?, _document: document })
        });
        let log = scope.leave().log;
        // What cannot be imported is a warning to libxml2, which goes on without it.
        schema.filter(|_| !log.failed).ok_or_else(|| log.schema())
    }

    /// Validates a document. What is wrong is told with the lines, in order, but for no more than `most` problems.
    pub(crate) fn validate(&self, document: &Document, most: usize) -> Result<(), Failure> {
        let scope = Scope::enter(Run::collecting(Arc::default(), most));
        // SAFETY: schema and document are only read, and outlive the context. A null context is an internal error.
        let status = unsafe {
            let context = ffi::xmlSchemaNewValidCtxt(self.pointer.as_ptr());
            let status = ffi::xmlSchemaValidateDoc(context, document.pointer.as_ptr());
            ffi::xmlSchemaFreeValidCtxt(context);
            status
        };
        let log = scope.leave().log;
        if status == 0 { Ok(()) } else { Err(log.invalid()) }
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        // SAFETY: no validation is under way, since each borrows the schema; its document goes after it.
        unsafe { ffi::xmlSchemaFree(self.pointer.as_ptr()) }
    }
}

/// Text that libxml2 allocated.
struct Buffer {
    pointer: NonNull<u8>,
    length: usize,
}

// SAFETY: the text is owned by this value and never changed.
unsafe impl Send for Buffer {}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: libxml2 said that it wrote so many bytes there.
        unsafe { std::slice::from_raw_parts(self.pointer.as_ptr(), self.length) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: allocated by libxml2, and freed here only.
        unsafe { ffi::playhouse_xml_free(self.pointer.as_ptr().cast()) }
    }
}

/// A call into the libraries: while it lives, this thread's reports go to its run.
struct Scope {
    previous: ffi::Handlers,
    this_thread: PhantomData<*const ()>,
}

impl Scope {
    fn enter(run: Run) -> Self {
        run.begin();
        let mut previous = MaybeUninit::uninit();
        // SAFETY: the call fills in the handlers, which are this thread's own.
        let previous = unsafe {
            ffi::playhouse_xml_enter(previous.as_mut_ptr());
            previous.assume_init()
        };
        Self { previous, this_thread: PhantomData }
    }

    fn leave(self) -> Run {
        Run::end().expect("the scope began a run, and it alone ends it")
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        Run::end();
        // SAFETY: puts back on this thread what `enter` found there.
        unsafe { ffi::playhouse_xml_leave(&self.previous) }
    }
}

/// Initialises the libraries, once for the process.
fn start() {
    static STARTED: OnceLock<()> = OnceLock::new();
    STARTED.get_or_init(|| {
        let callbacks = ffi::Callbacks { report: on_report, error: on_error, load: on_load, read: on_read };
        // SAFETY: called once, before all other calls; the callbacks live as long as the process.
        let started = unsafe { ffi::playhouse_xml_start(&callbacks) };
        assert_ne!(started, 0, "libxslt finds no memory to start");
    });
}

/// Parses under limits. `Err(None)` means that the log tells why.
fn parse_limited(
    bytes: &[u8],
    url: Option<&CStr>,
    is_text: bool,
    big_lines: bool,
    limits: &DocumentLimits,
) -> Result<Document, Option<Failure>> {
    limits.check_size(bytes.len())?;
    let mut bounds = ffi::Bounds {
        depth: limits.depth,
        nodes: c_ulong::try_from(limits.nodes).unwrap_or(c_ulong::MAX),
        big_lines: big_lines.into(),
        doctype: Run::with(|run| run.sources.doctype).unwrap_or_default().into(),
        open: 0,
        deepest: 0,
        refused: 0,
    };
    match parse(bytes, url, is_text, ptr::null_mut(), Some(&mut bounds)) {
        Some(pointer) => Ok(Document { pointer, depth: bounds.deepest }),
        None => Err(match bounds.refused {
            ffi::REFUSED_DOCTYPE => Some(Refusal::Doctype),
            ffi::REFUSED_DEPTH => Some(Refusal::Depth),
            ffi::REFUSED_NODES => Some(Refusal::Nodes),
            _ => None,
        }
        .map(|refusal| limits.failure(refusal))),
    }
}

fn parse(
    bytes: &[u8],
    url: Option<&CStr>,
    is_text: bool,
    dictionary: *mut ffi::Dict,
    bounds: Option<&mut ffi::Bounds>,
) -> Option<NonNull<ffi::Doc>> {
    let length = c_int::try_from(bytes.len()).ok()?;
    let url = url.map_or(ptr::null(), CStr::as_ptr);
    let encoding = if is_text { c"UTF-8".as_ptr() } else { ptr::null() };
    let bounds = bounds.map_or(ptr::null_mut(), ptr::from_mut);
    // SAFETY: all pointers are null or valid for the call, the bytes for `length`; libxml2 copies what it keeps. The
    // dictionary is null or came from libxslt, which passes it for this very use.
    NonNull::new(unsafe { ffi::playhouse_xml_parse(bytes.as_ptr().cast(), length, url, encoding, dictionary, bounds) })
}

extern "C" fn on_report(kind: c_int, text: *const c_char, length: usize) -> c_int {
    // SAFETY: the caller passes a buffer of that length.
    let text = unsafe { std::slice::from_raw_parts(text.cast::<u8>(), length) };
    let taken = Run::with(|run| match kind {
        ffi::REPORT_TEXT => run.log.text(&String::from_utf8_lossy(text)),
        ffi::REPORT_PLACE => run.log.place(&String::from_utf8_lossy(text)),
        _ => run.log.other(&String::from_utf8_lossy(text)),
    });
    taken.is_some().into()
}

extern "C" fn on_error(file: *const c_char, line: c_int, text: *const c_char) {
    // SAFETY: both are null or strings that live for the call.
    let (file, text) = unsafe { (string(file), string(text)) };
    Run::with(|run| run.log.library(file.as_deref(), line, text.as_deref().unwrap_or_default()));
}

extern "C" fn on_load(
    uri: *const c_char,
    dictionary: *mut ffi::Dict,
    _options: c_int,
    _context: *mut c_void,
    kind: c_int,
) -> *mut ffi::Doc {
    if uri.is_null() {
        return ptr::null_mut();
    }
    // SAFETY: libxslt passes a string that lives for the call.
    let url = unsafe { CStr::from_ptr(uri) };
    let name = url.to_string_lossy();
    let loaded = if kind == ffi::LOAD_STYLESHEET {
        let read = Run::with(|run| Arc::make_mut(&mut run.sources).module(&name));
        match read {
            Some(Ok(text)) => Ok(parse(&text, Some(url), false, dictionary, None)),
            Some(Err(failure)) => Err(failure),
            None => Ok(None),
        }
    } else {
        load_document(&name, url)
    };
    match loaded {
        Ok(Some(document)) => return document.as_ptr(),
        Ok(None) => Run::with(|run| run.unloaded(&name)),
        Err(failure) => Run::with(|run| run.unread(failure, kind == ffi::LOAD_STYLESHEET)),
    };
    ptr::null_mut()
}

extern "C" fn on_read(uri: *const c_char, parser: *mut ffi::Parser) -> *mut ffi::Input {
    if uri.is_null() {
        return ptr::null_mut();
    }
    // SAFETY: libxml2 passes a string that lives for the call.
    let url = unsafe { CStr::from_ptr(uri) };
    let bytes = match Run::with(|run| run.input(&url.to_string_lossy())) {
        Some(Ok(bytes)) => bytes,
        Some(Err(failure)) => {
            Run::with(|run| run.refuse(failure));
            return ptr::null_mut();
        }
        None => return ptr::null_mut(),
    };
    let Ok(length) = c_int::try_from(bytes.len()) else {
        return ptr::null_mut();
    };
    // SAFETY: the parser is the one that asks; the bytes are copied.
    unsafe { ffi::playhouse_xml_input(parser, uri, bytes.as_ptr().cast(), length) }
}

fn load_document(name: &str, url: &CStr) -> Result<Option<NonNull<ffi::Doc>>, Failure> {
    let Some((sources, limits)) = Run::with(|run| (run.sources.clone(), run.limits)) else {
        return Ok(None);
    };
    // `document('')` is the stylesheet: parsed anew, since a run may change its documents.
    if let Some(text) = sources.get(name) {
        return Ok(parse(&text, Some(url), name == TEXT_NAME, ptr::null_mut(), None));
    }
    let bytes = sources.document(name, limits.bytes)?;
    match parse_limited(&bytes, Some(url), false, false, &limits) {
        Ok(document) => {
            let pointer = document.pointer;
            // libxslt owns it from here on.
            mem::forget(document);
            Ok(Some(pointer))
        }
        Err(Some(failure)) => Err(failure),
        Err(None) => Ok(None),
    }
}

pub(crate) fn c_string(text: &str) -> Result<CString, Failure> {
    CString::new(text).map_err(|_| {
        let message = format!("`{}` has a NUL character in it", text.replace('\0', "\\0"));
        Failure::new(FailureKind::Stylesheet, message)
    })
}

/// # Safety
/// `text` MUST be null, or a string that lives for the call.
unsafe fn string(text: *const c_char) -> Option<String> {
    // SAFETY: promised by the caller.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

/// The functions of libxml2, libxslt and `libxslt.c`, and the structs that the latter shares with this file.
mod ffi {
    use super::{c_char, c_int, c_uint, c_ulong, c_void, ptr};

    macro_rules! opaque {
        ($($name:ident),*) => { $(#[repr(C)] pub(super) struct $name { _private: [u8; 0] })* };
    }

    opaque!(Doc, Dict, Style, Transform, Encoder, Expression, Object, Parser, Input, Schema, SchemaParser, Validation);

    pub(super) const STATE_OK: c_int = 0;
    pub(super) const STATE_ERROR: c_int = 1;
    pub(super) const STATE_STOPPED: c_int = 2;
    pub(super) const REPORT_TEXT: c_int = 0;
    pub(super) const REPORT_PLACE: c_int = 1;
    pub(super) const REFUSED_DOCTYPE: c_int = 1;
    pub(super) const REFUSED_DEPTH: c_int = 2;
    pub(super) const REFUSED_NODES: c_int = 3;
    pub(super) const LOAD_STYLESHEET: c_int = 1;
    pub(super) const FOUND_NODES: c_int = 0;
    pub(super) const FOUND_TEXT: c_int = 1;
    pub(super) const FOUND_NUMBER: c_int = 2;
    pub(super) const FOUND_BOOLEAN: c_int = 3;

    #[repr(C)]
    pub(super) struct Callbacks {
        pub(super) report: extern "C" fn(c_int, *const c_char, usize) -> c_int,
        pub(super) error: extern "C" fn(*const c_char, c_int, *const c_char),
        pub(super) load: extern "C" fn(*const c_char, *mut Dict, c_int, *mut c_void, c_int) -> *mut Doc,
        pub(super) read: extern "C" fn(*const c_char, *mut Parser) -> *mut Input,
    }

    #[repr(C)]
    pub(super) struct Bounds {
        pub(super) depth: c_uint,
        pub(super) nodes: c_ulong,
        pub(super) big_lines: c_int,
        pub(super) doctype: c_int,
        pub(super) open: c_uint,
        pub(super) deepest: c_uint,
        pub(super) refused: c_int,
    }

    #[repr(C)]
    pub(super) struct OutputSettings {
        pub(super) method: *const c_char,
        pub(super) encoding: *const c_char,
        pub(super) media_type: *const c_char,
    }

    impl Default for OutputSettings {
        fn default() -> Self {
            Self { method: ptr::null(), encoding: ptr::null(), media_type: ptr::null() }
        }
    }

    #[repr(C)]
    pub(super) struct Value {
        pub(super) kind: c_int,
        pub(super) number: f64,
        pub(super) nodes: usize,
        pub(super) text: *const c_char,
    }

    /// Two functions and their contexts, null or not: only handed back.
    #[repr(C)]
    pub(super) struct Handlers {
        _private: [*mut c_void; 4],
    }

    unsafe extern "C" {
        pub(super) fn playhouse_xml_start(callbacks: *const Callbacks) -> c_int;
        pub(super) fn playhouse_xml_enter(previous: *mut Handlers);
        pub(super) fn playhouse_xml_leave(previous: *const Handlers);
        pub(super) fn playhouse_xml_parse(
            bytes: *const c_char,
            length: c_int,
            url: *const c_char,
            encoding: *const c_char,
            dictionary: *mut Dict,
            bounds: *mut Bounds,
        ) -> *mut Doc;
        pub(super) fn playhouse_xslt_output(style: *mut Style, output: *mut OutputSettings);
        pub(super) fn playhouse_xslt_declares(style: *mut Style, name: *const c_char, uri: *const c_char) -> c_int;
        pub(super) fn playhouse_xslt_transform(
            style: *mut Style,
            document: *mut Doc,
            depth: c_int,
            operations: c_ulong,
        ) -> *mut Transform;
        pub(super) fn playhouse_xslt_state(transform: *mut Transform) -> c_int;
        pub(super) fn playhouse_xml_is_html(result: *mut Doc) -> c_int;
        pub(super) fn playhouse_xml_free(memory: *mut c_void);
        pub(super) fn playhouse_xml_namespace(document: *mut Doc, prefix: *const c_char) -> *const c_char;
        pub(super) fn playhouse_xml_xpath_evaluate(
            expression: *mut Expression,
            document: *mut Doc,
            operations: c_ulong,
            namespaces: *const *const c_char,
        ) -> *mut Object;
        pub(super) fn playhouse_xml_found(found: *mut Object, value: *mut Value);
        pub(super) fn playhouse_xml_found_node(found: *mut Object, index: usize) -> *const c_char;

        pub(super) fn playhouse_xml_input(
            parser: *mut Parser,
            uri: *const c_char,
            bytes: *const c_char,
            length: c_int,
        ) -> *mut Input;

        pub(super) fn xmlSchemaNewDocParserCtxt(document: *mut Doc) -> *mut SchemaParser;
        pub(super) fn xmlSchemaParse(parser: *mut SchemaParser) -> *mut Schema;
        pub(super) fn xmlSchemaFreeParserCtxt(parser: *mut SchemaParser);
        pub(super) fn xmlSchemaFree(schema: *mut Schema);
        pub(super) fn xmlSchemaNewValidCtxt(schema: *mut Schema) -> *mut Validation;
        pub(super) fn xmlSchemaValidateDoc(validation: *mut Validation, document: *mut Doc) -> c_int;
        pub(super) fn xmlSchemaFreeValidCtxt(validation: *mut Validation);
        pub(super) fn xmlXPathCompile(expression: *const c_char) -> *mut Expression;
        pub(super) fn xmlXPathFreeCompExpr(expression: *mut Expression);
        pub(super) fn xmlXPathFreeObject(object: *mut Object);

        pub(super) fn xmlFreeDoc(document: *mut Doc);
        pub(super) fn xmlFindCharEncodingHandler(name: *const c_char) -> *mut Encoder;
        pub(super) fn xmlCharEncCloseFunc(encoder: *mut Encoder) -> c_int;
        pub(super) fn xsltParseStylesheetDoc(document: *mut Doc) -> *mut Style;
        pub(super) fn xsltFreeStylesheet(style: *mut Style);
        pub(super) fn xsltQuoteOneUserParam(
            transform: *mut Transform,
            name: *const c_char,
            value: *const c_char,
        ) -> c_int;
        pub(super) fn xsltApplyStylesheetUser(
            style: *mut Style,
            document: *mut Doc,
            parameters: *const *const c_char,
            output: *const c_char,
            profile: *mut c_void,
            transform: *mut Transform,
        ) -> *mut Doc;
        pub(super) fn xsltFreeTransformContext(transform: *mut Transform);
        pub(super) fn xsltSaveResultToString(
            text: *mut *mut u8,
            length: *mut c_int,
            result: *mut Doc,
            style: *mut Style,
        ) -> c_int;
    }
}
