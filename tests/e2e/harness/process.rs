//! The binary as a process, with its output collected line by line.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use tempfile::{TempDir, tempdir};

use super::{Names, PATIENCE};

/// The binary that was built with the tests.
const BINARY: &str = env!("CARGO_BIN_EXE_tollgate");

/// The binary under test; `TOLLGATE_BINARY` names another one.
pub fn binary() -> PathBuf {
    std::env::var_os("TOLLGATE_BINARY").map_or_else(|| PathBuf::from(BINARY), PathBuf::from)
}

/// Variables that would change what the binary does.
const FOREIGN: [&str; 6] = [
    "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY",
    "TOLLGATE_CONFIG",
    "TOLLGATE_URL",
    "TOLLGATE_KEY",
    "RUST_LOG",
];

/// A running process. Killed when dropped.
pub struct Process {
    child: Child,
    /// Lines of standard output.
    pub stdout: Lines,
    /// Lines of standard error.
    pub stderr: Lines,
    readers: Vec<JoinHandle<()>>,
    /// Where it was started and may write, if that is its own.
    folder: Option<TempDir>,
    /// Whether it starts processes that may outlive it, which end with the test.
    has_successors: bool,
}

/// A process that has ended.
#[derive(Debug)]
pub struct Finished {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// Lines that a thread collects while others wait for them.
#[derive(Clone, Default)]
pub struct Lines(Arc<(Mutex<Collected>, Condvar)>);

#[derive(Default)]
struct Collected {
    lines: Vec<String>,
    taken: usize,
    ended: bool,
}

impl Process {
    /// Starts the binary in an empty folder.
    pub fn start(arguments: &[&str], env: &[(&str, &str)]) -> Process {
        Process::in_own_folder(Command::new(binary()), arguments, env)
    }

    /// Starts the binary in a folder.
    pub fn start_in(folder: &Path, arguments: &[&str], env: &[(&str, &str)]) -> Process {
        Process::spawn(folder, Command::new(binary()), arguments, env)
    }

    /// Starts a program in a folder that starts others in its place.
    pub fn start_with_successors(
        program: &Path,
        folder: &Path,
        arguments: &[&str],
        env: &[(&str, &str)],
    ) -> Process {
        let mut command = Command::new(program);
        command.process_group(0);
        let mut process = Process::spawn(folder, command, arguments, env);
        process.has_successors = true;
        process
    }

    /// Starts the binary in an empty folder, in place of a shell that has run a command before.
    pub fn start_after(command: &str, arguments: &[&str], env: &[(&str, &str)]) -> Process {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{command} && exec \"$0\" \"$@\"")]);
        shell.arg(binary());
        Process::in_own_folder(shell, arguments, env)
    }

    /// Starts the binary in an empty folder, where names are known to this server.
    #[track_caller]
    pub fn start_with_names(names: &Names, arguments: &[&str], env: &[(&str, &str)]) -> Process {
        Process::in_own_folder(names.command(BINARY), arguments, env)
    }

    fn in_own_folder(command: Command, arguments: &[&str], env: &[(&str, &str)]) -> Process {
        let folder = tempdir().expect("a directory");
        let mut process = Process::spawn(folder.path(), command, arguments, env);
        process.folder = Some(folder);
        process
    }

    fn spawn(folder: &Path, mut command: Command, arguments: &[&str], env: &[(&str, &str)]) -> Process {
        command.current_dir(folder);
        for name in FOREIGN {
            command.env_remove(name);
        }
        command
            .env("NO_COLOR", "1")
            .args(arguments)
            .envs(env.iter().copied());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{BINARY}: {error}"));
        let (stdout, stderr) = (Lines::default(), Lines::default());
        let readers = vec![
            stdout.collect(child.stdout.take().expect("piped")),
            stderr.collect(child.stderr.take().expect("piped")),
        ];
        Process {
            child,
            stdout,
            stderr,
            readers,
            folder: None,
            has_successors: false,
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, such as `TERM`.
    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// The largest file that it may write from now on, in bytes; `None` lifts the limit. To write more fails as on a full disk.
    pub fn limit_files(&self, bytes: Option<u64>) {
        let limit = bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
        let (pid, limit) = (self.child.id().to_string(), format!("--fsize={limit}:"));
        let status = Command::new("prlimit").args(["--pid", &pid, &limit]).status();
        assert!(status.expect("prlimit runs").success(), "{limit}");
    }

    /// What the system tells of it in a file of `/proc`, such as `status`.
    pub fn told_by_system(&self, file: &str) -> String {
        let path = format!("/proc/{}/{file}", self.child.id());
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Waits for the end of the process.
    #[track_caller]
    pub fn finish(mut self) -> Finished {
        // Its output ends when it does.
        let stdout = self.stdout.whole();
        let stderr = self.stderr.whole();
        let status = self.child.wait().expect("a child can be waited for");
        for reader in self.readers.drain(..) {
            reader.join().expect("a reader does not panic");
        }
        Finished {
            status,
            stdout,
            stderr,
        }
    }

    /// Asks for an orderly end, and asserts that it was one.
    #[track_caller]
    pub fn stop(self) -> Finished {
        self.signal("TERM");
        let finished = self.finish();
        assert_eq!(finished.status.code(), Some(0), "{finished:?}");
        finished
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.has_successors {
            let group = format!("-{}", self.child.id());
            let _ = Command::new("kill").args(["-KILL", "--", &group]).output();
        }
        // Fails only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal, such as `TERM`, to a process.
#[track_caller]
pub fn signal(process: u32, name: &str) {
    let status = Command::new("kill")
        .args([&format!("-{name}"), &process.to_string()])
        .status();
    assert!(
        status.expect("kill runs").success(),
        "signal {name} could not be sent"
    );
}

/// Runs a command of the binary to its end.
#[track_caller]
pub fn run(arguments: &[&str], env: &[(&str, &str)]) -> Finished {
    Process::start(arguments, env).finish()
}

impl Lines {
    fn collect(&self, source: impl Read + Send + 'static) -> JoinHandle<()> {
        let lines = self.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(source).split(b'\n').map_while(Result::ok) {
                lines
                    .lock()
                    .lines
                    .push(String::from_utf8_lossy(&line).into_owned());
                lines.0.1.notify_all();
            }
            lines.lock().ended = true;
            lines.0.1.notify_all();
        })
    }

    /// The next line that was not taken yet.
    #[track_caller]
    pub fn next(&self) -> String {
        let found = self.wait(|collected| {
            let line = collected.lines.get(collected.taken).cloned()?;
            collected.taken += 1;
            Some(line)
        });
        found.unwrap_or_else(|| panic!("no further line: {:?}", self.lock().lines))
    }

    /// The first line, taken or not, that holds `text`.
    #[track_caller]
    pub fn with(&self, text: &str) -> String {
        let found = self.wait(|collected| collected.lines.iter().find(|line| line.contains(text)).cloned());
        found.unwrap_or_else(|| panic!("no line with `{text}`:\n{}", self.lock().lines.join("\n")))
    }

    /// Waits until there are this many lines that hold `text`.
    #[track_caller]
    pub fn times(&self, text: &str, times: usize) {
        let found = self.wait(|collected| {
            let count = collected.lines.iter().filter(|line| line.contains(text)).count();
            (count >= times).then_some(())
        });
        assert!(
            found.is_some(),
            "`{text}` is not there {times} times:\n{}",
            self.so_far()
        );
    }

    /// All lines up to now.
    pub fn so_far(&self) -> String {
        self.lock().lines.join("\n")
    }

    #[track_caller]
    fn whole(&self) -> String {
        let ended = self.wait(|collected| collected.ended.then_some(()));
        assert!(ended.is_some(), "the process does not end:\n{}", self.so_far());
        let collected = self.lock();
        let mut text = collected.lines.join("\n");
        if !text.is_empty() {
            text.push('\n');
        }
        text
    }

    /// Waits until `look` finds something; `None` when the output has ended or patience has.
    fn wait<T>(&self, mut look: impl FnMut(&mut Collected) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + PATIENCE;
        let mut collected = self.lock();
        loop {
            if let Some(found) = look(&mut collected) {
                return Some(found);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            if collected.ended {
                return None;
            }
            collected = self
                .0
                .1
                .wait_timeout(collected, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Collected> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
