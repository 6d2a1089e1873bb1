use std::process::{Command, Output, Stdio};

/// A configuration in a folder of its own.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(file: &str, text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(file), text).unwrap();
        Self(folder)
    }

    /// What `sluice` answers to these arguments.
    fn ask(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_sluice"))
            .args(arguments)
            .current_dir(self.0.path())
            .env_clear()
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }
}

/// The status, standard output and standard error.
fn told(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

const MAIN: &str = "[SERVICE]
    Flush 0.5
[INPUT]
    Name dummy
    Alias ticks
    Tag ${PREFIX:-app}.ticks
    Threaded on
[INPUT]
    Name forward
    Listen 127.0.0.1
[INPUT]
    Name dummy
    Tag nobody
[FILTER]
    Name grep
    Match app.*
    Exclude log x
[OUTPUT]
    Name null
    Match app.*
";

#[test]
fn explain_says_what_each_key_does_and_what_goes_where() {
    let (status, said, _) = told(Folder::new("a.conf", MAIN).ask(&["explain", "-c", "a.conf"]));
    assert_eq!(status, Some(0));
    let lines: Vec<&str> = said.lines().map(str::trim_ascii).collect();
    for words in [
        "tag: app.ticks",
        "to filter grep.0 (app.*)",
        "to output null.0 (app.*)",
        "tags: as its senders say",
        "no output takes the records of dummy.2",
        "no output takes records of forward.1 whose tags fit none of app.*",
    ] {
        assert!(lines.contains(&words), "nothing says {words:?} in\n{said}");
    }
    let starts_and_ends = |start: &str, end: &str| {
        let found = lines
            .iter()
            .any(|line| line.starts_with(start) && line.ends_with(end));
        assert!(found, "no {start:?} .. {end:?} in\n{said}");
    };
    starts_and_ends("input ticks", "a.conf:3:1");
    starts_and_ends("threaded", "a.conf:7:5   has no effect");
    starts_and_ends("tag ", "a.conf:6:5");
    starts_and_ends("at their defaults: ", "workers");
}

#[test]
fn explain_of_a_wrong_file_is_its_report() {
    let folder = Folder::new("a.conf", "[INPUT]\n  Name forwrd\n");
    let (status, said, report) = told(folder.ask(&["explain", "-c", "a.conf"]));
    assert_eq!((status, said.as_str()), (Some(1), ""));
    assert!(report.contains("did you mean `forward`?"), "{report}");
}

#[test]
fn convert_writes_the_other_format_and_it_is_accepted() {
    let folder = Folder::new("a.conf", MAIN);
    let (status, yaml, _) = told(folder.ask(&["convert", "-c", "a.conf"]));
    assert_eq!(status, Some(0));
    std::fs::write(folder.0.path().join("b.yaml"), &yaml).unwrap();
    let (status, _, report) = told(folder.ask(&["--dry-run", "-c", "b.yaml"]));
    assert_eq!(status, Some(0), "{yaml}{report}");
    let (status, classic, _) = told(folder.ask(&["convert", "-c", "b.yaml"]));
    assert_eq!(status, Some(0));
    assert!(
        classic.contains("\n    tag              ${PREFIX:-app}.ticks\n"),
        "{classic}"
    );
}

#[test]
fn check_names_the_destination_that_does_not_answer() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let output = format!(
        "[INPUT]\n  Name dummy\n[OUTPUT]\n  Name forward\n  Match *\n  Host 127.0.0.1\n  Port {port}\n"
    );
    let folder = Folder::new("a.conf", &output);
    let (status, _, said) = told(folder.ask(&["check", "-c", "a.conf"]));
    assert_eq!(status, Some(1), "{said}");
    assert!(
        said.contains(&format!(
            "a.conf:3:1: output forward.0: cannot connect to 127.0.0.1:{port}: Connection refused"
        )),
        "{said}"
    );
}

#[test]
fn explain_says_where_the_routes_of_an_input_lead() {
    let yaml = "pipeline:
  inputs:
    - name: dummy
      routes: {logs: [{name: a, to: {outputs: [only]}}]}
  outputs:
    - {name: 'null', alias: only}
    - {name: 'null', match: '*'}
";
    let (status, said, _) = told(Folder::new("a.yaml", yaml).ask(&["explain", "-c", "a.yaml"]));
    assert_eq!(status, Some(0));
    assert!(
        said.contains("    to output only (by its routes)\n"),
        "{said}"
    );
    for words in ["to output null.1", "takes nothing", "no output takes"] {
        assert!(!said.contains(words), "{words} in\n{said}");
    }
}

#[test]
fn a_report_that_nobody_reads_changes_nothing() {
    let folder = Folder::new("a.conf", "[INPUT]\n  Name forwrd\n");
    let mut child = Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args(["--dry-run", "-c", "a.conf"])
        .current_dir(folder.0.path())
        .env_clear()
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
}
