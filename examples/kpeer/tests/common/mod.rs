//! The programs in `examples`, to be run by tests.

#[allow(dead_code)] // Only `socks5` goes through one.
pub mod proxy;
#[allow(dead_code)] // Some tests run a program to its end.
pub mod running;
#[allow(dead_code)] // Some tests need no files.
pub mod scratch;

use parking_lot::Mutex;
use socket2::{Domain, Socket, Type};
use std::collections::HashMap;
use std::env::{self, consts::EXE_SUFFIX};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// Those that are known to be built.
static BUILT: Mutex<Option<HashMap<String, PathBuf>>> = Mutex::new(None);

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
/// `cargo test` builds all examples before it runs any test. When only some tests are asked for it does not, and the
/// example is built here if it never was, or if anything that it is made of has changed since.
pub fn example(name: &str) -> PathBuf {
    // Held meanwhile, so that it is built once.
    let mut built = BUILT.lock();
    let built = built.get_or_insert_default();
    built.entry(name.to_owned()).or_insert_with(|| up_to_date(name)).clone()
}

fn up_to_date(name: &str) -> PathBuf {
    // This test is `<target>/<profile>/deps/<test>`.
    let test = env::current_exe().unwrap();
    let profile = test.parent().and_then(|deps| deps.parent()).unwrap();
    let program = profile.join("examples").join(format!("{name}{EXE_SUFFIX}"));
    if !is_up_to_date(&program) {
        let profile_name = match profile.file_name().and_then(|name| name.to_str()) {
            Some("debug") | None => "dev",
            Some(name) => name,
        };
        let built = Command::new(env!("CARGO"))
            .args(["build", "--example", name, "--profile", profile_name])
            // As `cargo test` builds it, so that the two do not take turns.
            .args(if cfg!(feature = "serde") { ["--features", "serde"].as_slice() } else { &[] })
            .arg("--target-dir")
            .arg(profile.parent().unwrap())
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .unwrap();
        assert!(built.success() && program.exists(), "cannot build {}", program.display());
    }
    program
}

/// Whether it is newer than all that cargo made it of.
fn is_up_to_date(program: &Path) -> bool {
    let changed = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).ok();
    let is_older = |path: PathBuf, built: SystemTime| changed(&path).is_some_and(|changed| changed <= built);
    // One line, `program: source source …`, with a backslash before a space that belongs to a path.
    let list = fs::read_to_string(program.with_extension("d")).unwrap_or_default();
    let (Some(built), Some((_, sources))) = (changed(program), list.trim_end().split_once(": ")) else { return false };
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = sources.replace("\\ ", "\0");
    let sources = sources.split(' ').map(|source| PathBuf::from(source.replace('\0', " ")));
    sources.chain(["Cargo.toml", "Cargo.lock"].map(|file| package.join(file))).all(|source| is_older(source, built))
}
