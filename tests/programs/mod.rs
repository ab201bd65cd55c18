//! The programs in `examples`, to be run by tests.

#[allow(dead_code)] // Only `socks5` goes through one.
pub mod proxy;
#[allow(dead_code)] // Some tests run a program to its end.
pub mod running;
#[allow(dead_code)] // Some tests need no files.
pub mod scratch;

use socket2::{Domain, Socket, Type};
use std::env::{self, consts::EXE_SUFFIX};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

/// An address where nobody is, nor can be as long as the socket is kept.
#[allow(dead_code)] // Some tests dial only who is there.
pub fn nobody() -> (Socket, String) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap().to_string();
    (socket, address)
}

/// The built example of this name.
///
/// `cargo test` builds all examples before it runs any test; when only some tests are asked for it does not, and the
/// example is built here if it never was.
pub fn example(name: &str) -> PathBuf {
    // This test is `<target>/<profile>/deps/<test>`.
    let test = env::current_exe().unwrap();
    let profile = test.parent().and_then(|deps| deps.parent()).unwrap();
    let program = profile.join("examples").join(format!("{name}{EXE_SUFFIX}"));
    if !program.exists() {
        let profile_name = match profile.file_name().and_then(|name| name.to_str()) {
            Some("debug") | None => "dev",
            Some(name) => name,
        };
        let built = Command::new(env!("CARGO"))
            .args(["build", "--example", name, "--profile", profile_name, "--target-dir"])
            .arg(profile.parent().unwrap())
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .unwrap();
        assert!(built.success() && program.exists(), "cannot build {}", program.display());
    }
    program
}
