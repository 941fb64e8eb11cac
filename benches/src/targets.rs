//! What is measured against what: starts nginx, the gateway and the provider, each on its processor, and ends them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A server that is measured.
pub struct Target {
    /// Its name in tables.
    pub name: &'static str,
    /// Where it is, `host:port`.
    pub address: &'static str,
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
    /// What is measured.
    pub targets: Vec<Target>,
}

/// Where the provider is.
pub const PROVIDER: &str = "127.0.0.1:19100";

const KEY: &str = "sk-tollgate-bench-client-key";

impl Running {
    /// Starts everything. The gateway and nginx share processor `cpu`, the provider has another one.
    ///
    /// # Errors
    /// A program is missing or does not begin to listen.
    pub async fn start(gateway: &Path, cpu: usize, others: usize) -> io::Result<Running> {
        let mut running = Running::empty(others).await?;
        running.nginx(cpu).await?;
        for gateway_kind in &GATEWAYS {
            running.gateway(Command::new(gateway), gateway_kind, cpu).await?;
        }
        Ok(running)
    }

    async fn empty(others: usize) -> io::Result<Running> {
        let folder = std::env::temp_dir().join(format!("tollgate-bench-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let mut running = Running {
            children: Vec::new(),
            folder,
            targets: Vec::new(),
        };
        let provider = Command::new(std::env::current_exe()?);
        running
            .spawn(provider, &["mock", "--listen", PROVIDER], others, "provider")
            .await?;
        running.targets.push(Target {
            name: "direct",
            address: PROVIDER,
            pid: None,
            headers: Vec::new(),
            is_gateway: false,
        });
        Ok(running)
    }

    async fn nginx(&mut self, cpu: usize) -> io::Result<()> {
        let folder = self.folder.display().to_string();
        let path = self.folder.join("nginx.conf");
        fs::write(&path, NGINX.replace("FOLDER", &folder))?;
        let config = path.display().to_string();
        let pid = self
            .spawn(
                Command::new("nginx"),
                &["-p", &folder, "-e", "stderr", "-c", &config],
                cpu,
                "nginx",
            )
            .await?;
        let address = "127.0.0.1:19101";
        wait_for(address).await?;
        self.targets.push(Target {
            name: "nginx",
            address,
            pid: Some(pid),
            headers: Vec::new(),
            is_gateway: false,
        });
        Ok(())
    }

    /// Starts the provider and one kind of gateway, which callgrind counts.
    ///
    /// # Errors
    /// As [`Running::start`].
    pub async fn start_counted(gateway: &Path, kind: &str) -> io::Result<Running> {
        let (cpu, others) = (0, 1);
        let mut running = Running::empty(others).await?;
        let Some(kind) = GATEWAYS.iter().find(|known| known.name == kind) else {
            return Err(io::Error::other(format!("no such target: {kind}")));
        };
        let mut program = Command::new("valgrind");
        program
            .args(["--tool=callgrind", "--separate-threads=yes"])
            .arg(format!(
                "--callgrind-out-file={}",
                running.folder.join("callgrind.out").display()
            ))
            .arg(gateway);
        running.gateway(program, kind, cpu).await?;
        Ok(running)
    }

    /// A target by its name.
    ///
    /// # Errors
    /// It was not started.
    pub fn target(&self, name: &str) -> io::Result<&Target> {
        let found = self.targets.iter().find(|target| target.name == name);
        found.ok_or_else(|| io::Error::other(format!("no such target: {name}")))
    }

    /// Ends everything and gives the folder with what was left there.
    pub fn stop_and_keep(mut self) -> PathBuf {
        self.stop();
        std::mem::take(&mut self.folder)
    }

    fn stop(&mut self) {
        for child in &mut self.children {
            let pid = child.id().to_string();
            // Asked first: nginx ends its worker then.
            let _ = Command::new("kill").arg(&pid).status();
        }
        for child in &mut self.children {
            let _ = child.wait();
        }
        self.children.clear();
    }

    async fn gateway(&mut self, program: Command, kind: &Gateway, cpu: usize) -> io::Result<()> {
        let Gateway { name, address, .. } = *kind;
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder)?;
        let mut config_path = PathBuf::new();
        for (file, text) in kind.files {
            let path = folder.join(file);
            let text = text
                .replace("FOLDER", &folder.display().to_string())
                .replace("ADDRESS", address)
                .replace("PORT", address.rsplit(':').next().unwrap_or_default())
                .replace("PROVIDER", PROVIDER)
                .replace("KEY", KEY);
            fs::write(&path, text)?;
            config_path = path;
        }
        let (path, data) = (config_path.display().to_string(), folder.display().to_string());
        let arguments = ["run", "--config", &path, "--data-dir", &data];
        let pid = self.spawn(program, &arguments, cpu, name).await?;
        if let Err(error) = wait_for(address).await {
            let said = fs::read_to_string(self.folder.join(format!("{name}.log"))).unwrap_or_default();
            return Err(io::Error::other(format!("{error}; it said: {said}")));
        }
        self.targets.push(Target {
            name,
            address,
            pid: Some(pid),
            headers: vec![format!("authorization: Bearer {KEY}")],
            is_gateway: true,
        });
        Ok(())
    }

    /// Starts a program on one processor, with what it says in a file; gives its process.
    async fn spawn(
        &mut self,
        program: Command,
        arguments: &[&str],
        cpu: usize,
        name: &str,
    ) -> io::Result<u32> {
        let said = fs::File::create(self.folder.join(format!("{name}.log")))?;
        let child = Command::new("taskset")
            .arg("-c")
            .arg(cpu.to_string())
            .arg(program.get_program())
            .args(program.get_args())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said)
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("cannot start {name}: {error}")))?;
        // `taskset` becomes the program, so this is its process.
        let pid = child.id();
        self.children.push(child);
        if name == "provider" {
            wait_for(PROVIDER).await?;
        }
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

/// Waits until a server answers: one that only listens may still be starting, and reset what it has not accepted.
async fn wait_for(address: &str) -> io::Result<()> {
    let until = Instant::now() + PATIENCE;
    loop {
        let answered = tokio::time::timeout(ANSWER, answers(address)).await;
        match answered.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > until => {
                let text = format!("nothing answers at {address}: {error}");
                return Err(io::Error::new(error.kind(), text));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn answers(address: &str) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET / HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut first = [0];
    stream.read_exact(&mut first).await.map(drop)
}

/// How long one answer is waited for.
const ANSWER: Duration = Duration::from_secs(10);

/// How long a program may take until it answers; under callgrind it takes its time.
const PATIENCE: Duration = Duration::from_secs(120);

/// Plain nginx: one worker, connections to the provider kept, everything else as it comes.
const NGINX: &str = include_str!("../targets/nginx.conf");

/// A way to run the gateway.
struct Gateway {
    name: &'static str,
    address: &'static str,
    /// Its files; the last is the configuration it is started with.
    files: &'static [(&'static str, &'static str)],
}

/// With nothing switched on that can be off, as it is used, and as it is used with APISIX's plugins.
const GATEWAYS: [Gateway; 3] = [
    Gateway {
        name: "bare",
        address: "127.0.0.1:19102",
        files: &[("tollgate.yaml", include_str!("../targets/bare.yaml"))],
    },
    Gateway {
        name: "governed",
        address: "127.0.0.1:19103",
        files: &[("tollgate.yaml", include_str!("../targets/governed.yaml"))],
    },
    Gateway {
        name: "plugins",
        address: "127.0.0.1:19104",
        files: &[
            ("apisix.yaml", include_str!("../targets/plugins/apisix.yaml")),
            ("config.yaml", include_str!("../targets/plugins/config.yaml")),
        ],
    },
];
