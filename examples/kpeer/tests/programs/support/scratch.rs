//! Files for programs to write and read.

use std::fs;
use std::path::PathBuf;

/// A file that is removed when this is dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("kaspa-peer-{}-{name}", std::process::id()));
        let _ = fs::remove_file(&path);
        Self(path)
    }

    pub fn with(name: &str, content: &[u8]) -> Self {
        let scratch = Self::new(name);
        fs::write(&scratch.0, content).unwrap();
        scratch
    }

    pub fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    pub fn content(&self) -> Vec<u8> {
        fs::read(&self.0).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
