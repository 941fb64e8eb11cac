//! What is measured against what: starts nginx, the gateway and the provider, each on its processor, and ends them.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::link::{self, Dialer};

/// A server that is measured.
#[derive(Clone)]
pub struct Target {
    /// Its name in tables.
    pub name: String,
    /// Where it is, `host:port`.
    pub address: String,
    /// Where its Admin API is, if it has one.
    pub admin: String,
    /// The certificate that it shows, if it speaks TLS.
    pub certificate: Option<PathBuf>,
    /// Its process; `None` for the provider, which is not measured.
    pub pid: Option<u32>,
    /// Headers its clients send.
    pub headers: Vec<String>,
    /// Whether it translates; others are asked in the provider's format.
    pub is_gateway: bool,
}

/// Processes that end with this.
pub struct Running {
    children: Vec<Child>,
    folder: PathBuf,
    place: Place,
    next_port: u16,
    /// Where the provider is, `host:port`.
    pub provider: String,
    /// Where it is over TLS.
    secured: String,
    /// What is measured.
    pub targets: Vec<Target>,
}

/// Which processors are for what, as `taskset` takes them.
#[derive(Clone, Copy)]
pub struct Place {
    /// For what is measured.
    pub measured: &'static str,
    /// For provider and load.
    pub others: &'static str,
}

impl Place {
    /// What is measured has a processor of its own.
    pub const APART: Place = Place {
        measured: "0",
        others: "1",
    };
    /// All have all.
    pub const SHARED: Place = Place {
        measured: "0,1",
        others: "0,1",
    };
}

/// The client's key, and the Admin API's.
pub const KEY: &str = "sk-tollgate-bench-client-key";

/// Whether it is measured over TLS, on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// Plain HTTP.
    Plain,
    /// HTTP over TLS, to clients and to the provider.
    Tls,
}

/// A gateway to start.
#[derive(Clone)]
pub struct Start<'a> {
    /// How it is set up.
    pub kind: &'a Kind,
    /// Its name in tables.
    pub name: String,
    /// Its worker threads.
    pub workers: usize,
}

impl<'a> Start<'a> {
    /// One worker, by the name of its kind.
    pub fn new(kind: &'a Kind) -> Start<'a> {
        Start {
            kind,
            name: kind.name.to_owned(),
            workers: 1,
        }
    }
}

impl Running {
    /// Starts the provider, which also listens on `further` addresses.
    ///
    /// # Errors
    /// It does not begin to listen.
    pub async fn start(place: Place, further: u16) -> io::Result<Running> {
        let folder = std::env::temp_dir().join(format!("tollgate-bench-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        link::make_certificate(&folder, &[IpAddr::V4(Ipv4Addr::LOCALHOST)])?;
        let mut running = Running {
            children: Vec::new(),
            folder,
            place,
            next_port: first_port(),
            provider: String::new(),
            secured: String::new(),
            targets: Vec::new(),
        };
        running.provider = running.port()?;
        running.secured = running.port()?;
        let mut provider = Command::new(std::env::current_exe()?);
        provider
            .args(["mock", "--listen", &running.provider])
            .args(["--tls-listen", &running.secured])
            .args(["--further", &further.to_string(), "--certificate"])
            .arg(running.certificate())
            .arg("--key")
            .arg(running.folder.join("key.pem"));
        running.spawn(&provider, place.others, "provider")?;
        for wire in [Wire::Plain, Wire::Tls] {
            let target = Target {
                name: "direct".to_owned(),
                address: match wire {
                    Wire::Plain => running.provider.clone(),
                    Wire::Tls => running.secured.clone(),
                },
                admin: String::new(),
                certificate: running.certificate_of(wire),
                pid: None,
                headers: Vec::new(),
                is_gateway: false,
            };
            running.wait_for(&target).await?;
            if wire == Wire::Plain {
                running.targets.push(target);
            }
        }
        Ok(running)
    }

    /// Starts all that is compared: nginx, the gateway bare and governed.
    ///
    /// # Errors
    /// A program is missing or does not answer.
    pub async fn start_all(gateway: &Path, wire: Wire) -> io::Result<Running> {
        let mut running = Running::start(Place::APART, 0).await?;
        if let (Wire::Tls, Some(direct)) = (wire, running.targets.first_mut()) {
            direct.address.clone_from(&running.secured);
            direct.certificate = Some(running.folder.join(CERTIFICATE));
        }
        running.nginx(wire).await?;
        let kinds: &[&Kind] = match wire {
            Wire::Plain => &[&BARE, &GOVERNED],
            Wire::Tls => &[&BARE_TLS, &GOVERNED_TLS, &GOVERNED_HTTP2],
        };
        for kind in kinds {
            running.gateway(&Command::new(gateway), &Start::new(kind)).await?;
        }
        Ok(running)
    }

    /// Starts nginx as plain proxy.
    ///
    /// # Errors
    /// It is missing or does not answer.
    pub async fn nginx(&mut self, wire: Wire) -> io::Result<()> {
        let target = self.launch_nginx(wire)?;
        self.wait_for(&target).await?;
        self.targets.push(target);
        Ok(())
    }

    /// The same, without waiting for it.
    ///
    /// # Errors
    /// It is missing.
    pub fn launch_nginx(&mut self, wire: Wire) -> io::Result<Target> {
        let text = match wire {
            Wire::Plain => NGINX,
            Wire::Tls => NGINX_TLS,
        };
        let (address, folder) = (self.port()?, self.folder_of("nginx")?);
        let path = folder.join("nginx.conf");
        fs::write(&path, self.fill(text, &address, "", 1, &folder))?;
        let mut program = Command::new("nginx");
        program
            .arg("-p")
            .arg(&folder)
            .args(["-e", "stderr", "-c"])
            .arg(path);
        Ok(Target {
            name: "nginx".to_owned(),
            address,
            admin: String::new(),
            certificate: self.certificate_of(wire),
            pid: Some(self.spawn(&program, self.place.measured, "nginx")?),
            headers: Vec::new(),
            is_gateway: false,
        })
    }

    /// Starts a gateway.
    ///
    /// # Errors
    /// It is missing or does not answer; with what it said.
    pub async fn gateway(&mut self, program: &Command, start: &Start<'_>) -> io::Result<Target> {
        let target = self.launch(program, start)?;
        self.wait_for(&target).await?;
        self.targets.push(target.clone());
        Ok(target)
    }

    /// The same, without waiting for it.
    ///
    /// # Errors
    /// It is missing.
    pub fn launch(&mut self, program: &Command, start: &Start<'_>) -> io::Result<Target> {
        let (address, admin, folder) = (self.port()?, self.port()?, self.folder_of(&start.name)?);
        let mut config = PathBuf::new();
        for (file, text) in start.kind.files {
            config = folder.join(file);
            fs::write(&config, self.fill(text, &address, &admin, start.workers, &folder))?;
        }
        let mut command = Command::new(program.get_program());
        command.args(program.get_args()).args(["run", "--config"]);
        command.arg(config).arg("--data-dir").arg(&folder);
        Ok(Target {
            name: start.name.clone(),
            address,
            admin,
            certificate: self.certificate_of(start.kind.wire),
            pid: Some(self.spawn(&command, self.place.measured, &start.name)?),
            headers: vec![format!("authorization: Bearer {KEY}")],
            is_gateway: true,
        })
    }

    /// A target by its name.
    ///
    /// # Errors
    /// It was not started.
    pub fn target(&self, name: &str) -> io::Result<&Target> {
        let found = self.targets.iter().find(|target| target.name == name);
        found.ok_or_else(|| io::Error::other(format!("no such target: {name}")))
    }

    /// Where provider and load run.
    pub fn place(&self) -> Place {
        self.place
    }

    /// A folder for everything of this.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Ends everything and gives the folder with what was left there.
    pub fn stop_and_keep(mut self) -> PathBuf {
        self.stop();
        std::mem::take(&mut self.folder)
    }

    /// Ends this one.
    pub fn end(&mut self, target: &Target) {
        if let Some(at) = self
            .children
            .iter()
            .position(|child| Some(child.id()) == target.pid)
        {
            end(&mut self.children.swap_remove(at));
        }
        self.targets.retain(|other| other.pid != target.pid);
    }

    fn stop(&mut self) {
        // The provider last, as it was started first.
        while let Some(mut child) = self.children.pop() {
            end(&mut child);
        }
    }

    /// Waits until a server answers: one that only listens may still be starting, and reset what it has not accepted.
    async fn wait_for(&mut self, target: &Target) -> io::Result<()> {
        let dialer = Dialer::new(target.certificate.as_deref())?;
        let until = Instant::now() + PATIENCE;
        loop {
            let answered = tokio::time::timeout(ANSWER, answers(&dialer, &target.address)).await;
            let error = match answered.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if Instant::now() > until || self.has_ended(target) {
                let said = self.folder.join(format!("{}.log", target.name));
                let said = fs::read_to_string(said).unwrap_or_default();
                return Err(io::Error::other(format!(
                    "{} does not answer at {}: {error}; it said: {said}",
                    target.name, target.address
                )));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn has_ended(&mut self, target: &Target) -> bool {
        let child = self
            .children
            .iter_mut()
            .find(|child| Some(child.id()) == target.pid);
        child.is_some_and(|child| !matches!(child.try_wait(), Ok(None)))
    }

    /// An address where nobody listens yet.
    fn port(&mut self) -> io::Result<String> {
        loop {
            let port = self.next_port;
            self.next_port = port
                .checked_add(1)
                .ok_or_else(|| io::Error::other("no port is free"))?;
            if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Ok(format!("127.0.0.1:{port}"));
            }
        }
    }

    fn folder_of(&self, name: &str) -> io::Result<PathBuf> {
        let folder = self.folder.join(name);
        // Every process begins with nothing.
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::create_dir_all(&folder)?,
        }
        Ok(folder)
    }

    fn certificate(&self) -> PathBuf {
        self.folder.join(CERTIFICATE)
    }

    fn certificate_of(&self, wire: Wire) -> Option<PathBuf> {
        (wire == Wire::Tls).then(|| self.certificate())
    }

    fn fill(&self, text: &str, address: &str, admin: &str, workers: usize, folder: &Path) -> String {
        let port = |address: &str| address.rsplit(':').next().unwrap_or_default().to_owned();
        text.replace("FOLDER", &folder.display().to_string())
            .replace("TLS/", &format!("{}/", self.folder.display()))
            .replace("ADDRESS", address)
            .replace("PORT", &port(address))
            .replace("ADMIN", &port(admin))
            .replace("PROVIDER", &self.provider)
            .replace("SECURED", &self.secured)
            .replace("WORKERS", &workers.to_string())
            .replace("KEY", KEY)
    }

    /// Starts a program on these processors, with what it says in a file; gives its process.
    fn spawn(&mut self, program: &Command, cpus: &str, name: &str) -> io::Result<u32> {
        let said = fs::File::create(self.folder.join(format!("{name}.log")))?;
        let child = Command::new("taskset")
            .args(["-c", cpus])
            .arg(program.get_program())
            .args(program.get_args())
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said)
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("cannot start {name}: {error}")))?;
        // `taskset` becomes the program, so this is its process.
        let pid = child.id();
        self.children.push(child);
        Ok(pid)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
        if !self.folder.as_os_str().is_empty() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// Asks a process to end, and ends it if it does not.
#[expect(clippy::disallowed_methods, reason = "nothing else is to be done meanwhile")]
fn end(child: &mut Child) {
    // Asked first: nginx ends its worker then, callgrind writes what it has counted.
    let _ = Command::new("kill").arg(child.id().to_string()).status();
    let until = Instant::now() + LAST;
    while Instant::now() < until {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// Below the ports that systems give to clients, and another one than that of a second benchmark beside this one.
fn first_port() -> u16 {
    let turn = u16::try_from(std::process::id() % 400).unwrap_or(0);
    10_000 + turn * 50
}

async fn answers(dialer: &Dialer, address: &str) -> io::Result<()> {
    let mut stream = dialer.connect(address).await?;
    let request = format!("GET / HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut first = [0];
    stream.read_exact(&mut first).await.map(drop)
}

/// How long one answer is waited for.
const ANSWER: Duration = Duration::from_secs(10);

/// How long a program may take until it answers; under callgrind it takes its time.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long a program may take to end.
const LAST: Duration = Duration::from_secs(40);

const CERTIFICATE: &str = "certificate.pem";

/// Plain nginx: one worker, connections to the provider kept, everything else as it comes.
const NGINX: &str = include_str!("../targets/nginx.conf");

/// The same, with TLS on both sides.
const NGINX_TLS: &str = include_str!("../targets/tls/nginx.conf");

/// A way to run the gateway.
pub struct Kind {
    /// Its name in tables.
    pub name: &'static str,
    wire: Wire,
    /// Its files; the last is the configuration it is started with.
    files: &'static [(&'static str, &'static str)],
}

/// With nothing switched on that can be off.
pub const BARE: Kind = Kind {
    name: "bare",
    wire: Wire::Plain,
    files: &[("tollgate.yaml", include_str!("../targets/bare.yaml"))],
};

/// As it is used.
pub const GOVERNED: Kind = Kind {
    name: "governed",
    wire: Wire::Plain,
    files: &[("tollgate.yaml", include_str!("../targets/governed.yaml"))],
};

/// As [`BARE`], with TLS on both sides.
pub const BARE_TLS: Kind = Kind {
    name: "bare",
    wire: Wire::Tls,
    files: &[("tollgate.yaml", include_str!("../targets/tls/bare.yaml"))],
};

/// As [`GOVERNED`], with TLS on both sides.
pub const GOVERNED_TLS: Kind = Kind {
    name: "governed",
    wire: Wire::Tls,
    files: &[("tollgate.yaml", include_str!("../targets/tls/governed.yaml"))],
};

/// As [`GOVERNED_TLS`], with the provider asked over HTTP/2.
pub const GOVERNED_HTTP2: Kind = Kind {
    name: "http2",
    wire: Wire::Tls,
    files: &[("tollgate.yaml", include_str!("../targets/tls/http2.yaml"))],
};

/// As it is used with APISIX's plugins.
pub const PLUGINS: Kind = Kind {
    name: "plugins",
    wire: Wire::Plain,
    files: &[
        ("apisix.yaml", include_str!("../targets/plugins/apisix.yaml")),
        ("config.yaml", include_str!("../targets/plugins/config.yaml")),
    ],
};

/// With an Admin API that takes a whole configuration of any size.
pub const GROWING: Kind = Kind {
    name: "growing",
    wire: Wire::Plain,
    files: &[("config.yaml", include_str!("../targets/growth/config.yaml"))],
};
