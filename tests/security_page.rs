//! The page on security names files that have tests. Whether they show what they are named for, it takes a reader to see.
#![allow(missing_docs)]

use std::fs;
use std::path::Path;

#[test]
fn each_of_its_promises_names_files_with_tests() {
    let page = include_str!("../src/guide/security.md");
    let (promises, _) = page.split_once("# Limits").unwrap();
    let mut named = 0;
    for row in promises.lines().filter(|line| line.starts_with("| ")) {
        let tests = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        for test in tests.split('`').skip(1).step_by(2) {
            // Those of what cannot be done from outside are beside it.
            let within = if test.starts_with("src/") { "" } else { "tests" };
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(within).join(test).with_extension("rs");
            let source = fs::read_to_string(path).unwrap_or_default();
            assert!(source.contains("#[test]\n"), "{row} names {test}, which has no test");
            named += 1;
        }
    }
    assert!(named > 40, "{named}");
}
