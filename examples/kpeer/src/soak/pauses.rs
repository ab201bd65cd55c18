//! Pauses of the whole process, as a laptop that sleeps or an overloaded machine causes them.

use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long the process runs between two pauses, at most.
const INTERVAL: Duration = Duration::from_secs(50);

/// How long a pause lasts, at most. Longer than most timeouts of the nodes.
const LENGTH: Duration = Duration::from_secs(10);

/// Sends SIGSTOP and SIGCONT, and prints a line after each pause. It ends at SIGTERM, or when the process is gone.
const SCRIPT: &str = r#"trap 'kill -CONT "$0"; exit' TERM
while :; do
    sleep "$1" >/dev/null & wait $!
    kill -STOP "$0" || exit
    sleep "$2" >/dev/null & wait $!
    kill -CONT "$0" || exit
    echo paused
done"#;

/// A child process that pauses this one now and then.
pub struct Pauses {
    child: Child,
}

impl Pauses {
    /// `time` is how long the soak takes: there are several pauses in it.
    pub fn start(time: Duration) -> io::Result<Self> {
        let interval = INTERVAL.min(time / 5).as_secs_f64();
        let length = LENGTH.min(time / 10).as_secs_f64();
        let child = Command::new("sh")
            .args(["-c", SCRIPT])
            .args([std::process::id().to_string(), interval.to_string(), length.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { child })
    }

    /// Ends the child. Returns how many pauses there were.
    ///
    /// SIGTERM instead of SIGKILL, so that the child never ends between SIGSTOP and SIGCONT.
    pub fn stop(mut self) -> io::Result<usize> {
        Command::new("sh").args(["-c", "kill \"$0\"", &self.child.id().to_string()]).status()?;
        let mut lines = String::new();
        if let Some(output) = self.child.stdout.take() {
            output.take(64 * 1024).read_to_string(&mut lines)?;
        }
        self.child.wait()?;
        Ok(lines.lines().count())
    }
}
