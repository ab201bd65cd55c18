//! The page on security names tests that exist.
#![allow(missing_docs)]

use std::path::Path;

#[test]
fn each_of_its_promises_has_a_test() {
    let page = include_str!("../src/guide/security.md");
    let (promises, _) = page.split_once("# Limits").unwrap();
    let mut named = 0;
    for row in promises.lines().filter(|line| line.starts_with("| ")) {
        let tests = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        for test in tests.split('`').skip(1).step_by(2) {
            // Those of what cannot be done from outside are beside it.
            let within = if test.starts_with("src/") { "" } else { "tests" };
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(within).join(test).with_extension("rs");
            assert!(path.is_file(), "{row} names {test}");
            named += 1;
        }
    }
    assert!(named > 40, "{named}");
}
