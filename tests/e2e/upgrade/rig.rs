//! A gateway whose binary can be exchanged.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Instant;

use tempfile::TempDir;

use crate::harness::{
    Connection, Finished, PATIENCE, Process, Request, Response, binary, run, signal, told_at,
};

/// The key of its Admin API.
pub const ADMIN_KEY: &str = "the-key-of-an-administrator";

/// A gateway that was started through a link, which can be made to mean another binary.
pub struct Rig {
    process: Process,
    folder: TempDir,
    /// Where calls go.
    pub calls: SocketAddr,
    /// Where its Admin API is.
    pub admin: SocketAddr,
    /// Where its numbers are.
    pub metrics: SocketAddr,
}

impl Rig {
    /// Starts it with a `tollgate.yaml` that says where numbers are told, and keeps everything in its folder.
    pub fn start(config: &str) -> Rig {
        Rig::start_with(config, &[])
    }

    /// The same, with variables.
    pub fn start_with(config: &str, env: &[(&str, &str)]) -> Rig {
        let folder = tempfile::tempdir().expect("a directory");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("tollgate.yaml"), config).expect("a file can be written");
        fs::create_dir(path("data")).expect("a directory");
        fs::write(path("data/admin.key"), ADMIN_KEY).expect("a file can be written");
        let program = path("tollgate");
        symlink(binary(), &program).expect("a link");
        let arguments = [
            "run",
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--config",
            "tollgate.yaml",
            "--data-dir",
            "data",
        ];
        let process = Process::start_with_successors(&program, folder.path(), &arguments, env);
        process.stderr.with("  configuration  ");
        let told = process.stderr.so_far();
        let address = |what: &str| -> SocketAddr {
            let line = told.lines().find(|line| line.contains(what)).expect("a line");
            let address = line.split("://").nth(1).and_then(|rest| rest.split('/').next());
            let address = address.expect("an address").trim();
            address.parse().expect("an address")
        };
        let rig = Rig {
            calls: address("listening on"),
            admin: address("Admin API"),
            metrics: address("metrics  "),
            process,
            folder,
        };
        // It is written a moment after everything is told.
        rig.serves_after(0);
        rig
    }

    /// What the gateway tells.
    pub fn stderr(&self) -> &crate::harness::Lines {
        &self.process.stderr
    }

    /// The process that was started first.
    pub fn first(&self) -> u32 {
        self.process.id()
    }

    /// The process that serves.
    pub fn serving(&self) -> u32 {
        let text = fs::read_to_string(self.path("data/tollgate.pid")).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    /// Waits until another process than this serves.
    #[track_caller]
    pub fn serves_after(&self, before: u32) -> u32 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = self.serving();
            if now != before && now != 0 {
                return now;
            }
            assert!(
                Instant::now() < deadline,
                "no other process serves:\n{}",
                self.process.stderr.so_far()
            );
            std::thread::yield_now();
        }
    }

    /// A file in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces the configuration.
    pub fn write_config(&self, config: &str) {
        self.replace("tollgate.yaml", |path| {
            fs::write(path, config).expect("a file can be written")
        });
    }

    /// Makes the binary a shell script.
    pub fn put_script(&self, script: &str) {
        self.replace("tollgate", |path| {
            fs::write(path, format!("#!/bin/sh\n{script}\n")).expect("a file can be written");
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("permissions");
        });
    }

    /// Removes the binary.
    pub fn remove_binary(&self) {
        fs::remove_file(self.path("tollgate")).expect("a file");
    }

    /// Makes the binary what it was.
    pub fn put_binary(&self) {
        self.replace("tollgate", |path| symlink(binary(), path).expect("a link"));
    }

    fn replace(&self, name: &str, make: impl FnOnce(&Path)) {
        let next = self.path("next");
        make(&next);
        fs::rename(&next, self.path(name)).expect("a file can be renamed");
    }

    /// `tollgate upgrade`.
    pub fn ask(&self) -> Finished {
        let file = self.path("data/tollgate.pid");
        run(&["upgrade", "--pid-file", file.to_str().expect("text")], &[])
    }

    /// Exchanges the binary, and asserts that another process serves then.
    #[track_caller]
    pub fn upgrade(&self) -> u32 {
        let before = self.serving();
        let finished = self.ask();
        assert_eq!(
            finished.status.code(),
            Some(0),
            "{finished:?}\n{}",
            self.process.stderr.so_far()
        );
        let now = self.serves_after(before);
        let done = format!("process {now} serves now; process {before} finishes");
        assert!(finished.stdout.contains(&done), "{finished:?}");
        now
    }

    /// A request to its Admin API.
    #[track_caller]
    pub fn administrate(&self, request: &Request) -> Response {
        Connection::open(self.admin).send(request)
    }

    /// A series of its numbers.
    #[track_caller]
    pub fn told(&self, series: &str) -> String {
        told_at(self.metrics, series)
    }

    /// Ends the process that serves, and asserts that all ends were orderly.
    #[track_caller]
    pub fn stop(self) -> (Finished, TempDir) {
        signal(self.serving(), "TERM");
        let Rig { process, folder, .. } = self;
        // The output ends with the last process.
        let finished = process.finish();
        assert_eq!(finished.status.code(), Some(0), "{finished:?}");
        assert!(!folder.path().join("data/tollgate.pid").exists(), "it is removed");
        (finished, folder)
    }
}
