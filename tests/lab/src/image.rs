//! The software image: what a node holds right after a FULL install.
//!
//! There is no download and no debootstrap. `/usr` is the host's, read-only; `/etc` and `/var` are made
//! here from a few of the host's files, so that the image knows nothing of the host but its packages.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, IoContext as _, Result};
use crate::layout::{Head, Layout, Node};
use crate::pki::{self, Pki};
use crate::run::run;
use crate::spec::{Etcd, Spec};

const DIRECTORIES: &[&str] = &[
    "usr",
    "etc",
    "var/lib",
    "var/log",
    "var/tmp",
    "var/cache",
    "var/spool",
    "run",
    "tmp",
    "root/.ssh",
    "proc",
    "sys",
    "dev",
    "home",
    "srv",
    "mnt",
    "media",
    "opt",
    "boot",
    "cm/shared",
    "cm/local/modulefiles",
    "etc/systemd/system/multi-user.target.wants",
    "etc/ssh/sshd_config.d",
    "etc/etcd",
];

/// What is taken over from the host's `/etc`: names of users, PAM, the linker, TLS roots, shells.
const FROM_HOST: &[&str] = &[
    "passwd",
    "group",
    "shadow",
    "gshadow",
    "pam.d",
    "pam.conf",
    "security",
    "ld.so.conf",
    "ld.so.conf.d",
    "ld.so.cache",
    "nsswitch.conf",
    "profile",
    "profile.d",
    "bash.bashrc",
    "environment",
    "alternatives",
    "ssl",
    "login.defs",
    "environment-modules",
    "services",
    "protocols",
    "debian_version",
    "shells",
    "ssh/sshd_config",
    "ssh/ssh_config",
    "ssh/moduli",
];

/// Units that make no sense in a node of the lab.
const MASKED: &[&str] = &[
    "getty.target",
    "console-getty.service",
    "systemd-logind.service",
    "dbus.service",
    "dbus.socket",
    "systemd-firstboot.service",
    "systemd-resolved.service",
    "systemd-timesyncd.service",
    "systemd-networkd.service",
    "systemd-update-utmp.service",
    "systemd-update-utmp-runlevel.service",
    "systemd-pcrphase.service",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "man-db.timer",
    "logrotate.timer",
];

/// The unit as the cluster manager lays it down: it is never enabled, the manager starts it.
const ETCD_UNIT: &str = "\
[Unit]
Description=Etcd Server
After=network.target

[Service]
Type=notify
User=etcd
EnvironmentFile=/etc/etcd/etcd.conf
ExecStart=/cm/local/apps/etcd/current/bin/etcd
Restart=on-failure
RestartSec=1
TimeoutStartSec=0
LimitNOFILE=65536

[Install]
WantedBy=multi-user.target
";

const SSHD_CONFIG: &str = "\
UseDNS no
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
PasswordAuthentication no
MaxStartups 100
MaxSessions 100
";

/// Builds the image of a lab.
pub(crate) fn build(layout: &Layout, spec: &Spec) -> Result<()> {
    let image = Tree::at(layout.image());
    for dir in DIRECTORIES {
        image.dir(dir, 0o755)?;
    }
    image.dir("tmp", 0o1777)?;
    image.dir("var/tmp", 0o1777)?;
    image.dir("root", 0o700)?;
    image.dir("root/.ssh", 0o700)?;
    for (link, target) in [
        ("bin", "usr/bin"),
        ("sbin", "usr/sbin"),
        ("lib", "usr/lib"),
        ("lib64", "usr/lib64"),
        ("var/run", "../run"),
    ] {
        image.link(link, target)?;
    }
    from_host(&image)?;
    system(&image, layout)?;
    certificates(&image, layout, spec.bcm.pki())?;
    binaries(&image, &spec.etcd)
}

fn from_host(image: &Tree) -> Result<()> {
    let there = FROM_HOST
        .iter()
        .filter(|f| Path::new("/etc").join(f).exists());
    let mut command = Command::new("cp");
    command
        .current_dir("/etc")
        .args(["-a", "--parents", "-t"])
        .arg(image.path("etc"))
        .args(there);
    run("copy the host's configuration into the image", &mut command)?;
    // The host's os-release is a link into /usr; systemd wants the file to be there before /usr is.
    let release = fs::read("/etc/os-release").on("read", "/etc/os-release")?;
    image.file("etc/os-release", &release, 0o644)
}

fn system(image: &Tree, layout: &Layout) -> Result<()> {
    for unit in MASKED {
        image.link(&format!("etc/systemd/system/{unit}"), "/dev/null")?;
    }
    image.link(
        "etc/systemd/system/default.target",
        "/lib/systemd/system/multi-user.target",
    )?;
    image.link(
        "etc/systemd/system/multi-user.target.wants/ssh.service",
        "/lib/systemd/system/ssh.service",
    )?;
    image.file(
        "etc/systemd/system/etcd.service",
        ETCD_UNIT.as_bytes(),
        0o644,
    )?;
    image.file(
        "etc/ssh/sshd_config.d/lab.conf",
        SSHD_CONFIG.as_bytes(),
        0o644,
    )?;
    image.file("etc/resolv.conf", b"", 0o644)?;
    image.file("etc/hosts", hosts().as_bytes(), 0o644)?;
    image.append(
        "etc/environment-modules/modulespath",
        "/cm/local/modulefiles\n",
    )?;
    let key = pki::root_key(layout).with_extension("pub");
    let key_text = fs::read(&key).on("read", &key)?;
    image.file("root/.ssh/authorized_keys", &key_text, 0o600)
}

fn certificates(image: &Tree, layout: &Layout, to: &str) -> Result<()> {
    let pki = Pki::of(layout);
    let target = |file: &Path| {
        let name = file.strip_prefix(layout.pki()).unwrap_or(file);
        PathBuf::from(to.trim_start_matches('/'))
            .join(name)
            .display()
            .to_string()
    };
    let (member, member_key) = pki.member();
    let (client, client_key) = pki.client();
    for (file, mode) in [
        (&pki.ca(), 0o644),
        (&member, 0o644),
        (&member_key, 0o600),
        (&client, 0o644),
        (&client_key, 0o600),
    ] {
        let text = fs::read(file).on("read", file)?;
        image.file(&target(file), &text, mode)?;
    }
    let (uid, gid) = etcd_owner()?;
    let key = image.path(&target(&member_key));
    chown(&key, Some(uid), Some(gid)).on("change the owner of", key)
}

fn binaries(image: &Tree, etcd: &Etcd) -> Result<()> {
    let app = "cm/local/apps/etcd";
    let bin = format!("{app}/{}/bin", etcd.version);
    image.dir(&bin, 0o755)?;
    for program in &etcd.programs {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let path = format!("{bin}/{name}");
        if program.starts_with("/usr") {
            image.link(&path, &program.display().to_string())?;
        } else {
            fs::copy(program, image.path(&path)).on("copy", program)?;
        }
    }
    image.link(&format!("{app}/current"), &etcd.version)
}

/// `/etc/hosts`, on nodes and on the head node.
pub(crate) fn hosts() -> String {
    let (first, second) = (Head::First, Head::Second);
    let mut text = format!(
        "127.0.0.1 localhost\n{} {} master\n{} {}\n",
        first.ip(),
        first.name(),
        second.ip(),
        second.name()
    );
    for node in Node::first(crate::layout::MAX_NODES) {
        let _ = writeln!(text, "{} {node}", node.ip());
    }
    text
}

/// User and group of etcd, from the host's package.
pub(crate) fn etcd_owner() -> Result<(u32, u32)> {
    let passwd = fs::read_to_string("/etc/passwd").on("read", "/etc/passwd")?;
    let line = passwd.lines().find_map(|l| l.strip_prefix("etcd:"));
    let mut ids = line
        .into_iter()
        .flat_map(|l| l.split(':').skip(1).take(2))
        .map(str::parse);
    match (ids.next(), ids.next()) {
        (Some(Ok(uid)), Some(Ok(gid))) => Ok((uid, gid)),
        _ => Err(Error::refused(
            "there is no user etcd",
            "scripts/setup.sh installs etcd-server, which makes it",
        )),
    }
}

/// A tree of files below a root, by paths relative to it.
pub(crate) struct Tree {
    root: PathBuf,
}

impl Tree {
    pub(crate) fn at(root: PathBuf) -> Self {
        Self { root }
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    pub(crate) fn dir(&self, path: &str, mode: u32) -> Result<()> {
        let dir = self.path(path);
        fs::create_dir_all(&dir).on("create", &dir)?;
        fs::set_permissions(&dir, fs::Permissions::from_mode(mode)).on("set the mode of", &dir)
    }

    pub(crate) fn link(&self, path: &str, target: &str) -> Result<()> {
        let link = self.path(path);
        match fs::remove_file(&link) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e).on("replace", &link),
            _ => {}
        }
        symlink(target, &link).on("make the link", &link)
    }

    pub(crate) fn file(&self, path: &str, text: &[u8], mode: u32) -> Result<()> {
        let file = self.path(path);
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent).on("create", parent)?;
        }
        // The old one may be a link that leads elsewhere.
        match fs::remove_file(&file) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e).on("replace", &file),
            _ => {}
        }
        fs::write(&file, text).on("write", &file)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).on("set the mode of", &file)
    }

    fn append(&self, path: &str, text: &str) -> Result<()> {
        let file = self.path(path);
        let old = fs::read_to_string(&file).on("read", &file)?;
        self.file(path, format!("{old}{text}").as_bytes(), 0o644)
    }
}
