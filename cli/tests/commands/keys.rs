//! `playhouse keys new`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::{complains, run};

#[test]
fn keys_are_written_to_a_file_that_only_its_owner_can_read_and_never_over_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.toml");
    let shown = path.to_str().unwrap();
    let made = run(&["keys", "new", shown, "--allow", "any"]);
    let text = fs::read_to_string(&path).unwrap();
    let public = format!("public = \"{}\"", made.lines[0]);
    assert_eq!((made.code, made.lines.len(), text.lines().next()), (Some(0), 1, Some(public.as_str())));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    complains(&["keys", "new", shown, "--allow", "any"], 23, &[shown, "cannot be written: File exists"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn keys_without_a_purpose_are_printed_but_not_written() {
    let made = run(&["keys", "new"]);
    assert_eq!((made.code, made.lines.len()), (Some(0), 2));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.toml");
    complains(&["keys", "new", path.to_str().unwrap()], 2, &["--allow <KEY>", "--server <KEY>"]);
    assert!(!path.exists());
}

#[test]
fn a_key_may_begin_like_an_option() {
    let key = "-q:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";
    let made = run(&["keys", "new", "--server", key]);
    assert_eq!((made.code, made.lines[2].as_str()), (Some(0), format!("server = \"{key}\"").as_str()));
    let made = run(&["keys", "new", "--allow", key, "--allow", key]);
    assert_eq!((made.code, made.lines[2].as_str()), (Some(0), format!("allow = [\"{key}\", \"{key}\"]").as_str()));
}
