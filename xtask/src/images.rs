//! `cargo xtask images`: the source tree, what it holds by native tools, and the disk images made from it.
//!
//! Everything lies below the fixtures directory: `tree/`, `expected/`, `NAME.img`, `bench/`. Each part has a stamp file
//! that names its version, and is built again only when the version differs. Images are made with `mke2fs -d`, never mounted.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{FileExt, PermissionsExt, chown};
use std::path::Path;

use crate::command::{at, command, output, run};
use crate::{Result, project, setup, tree, user};

/// Everything that the tree and the images follow from; their version is a hash of it and of the test user's ids.
const SOURCES: [&str; 14] = [
    include_str!("images.rs"),
    include_str!("prng.rs"),
    include_str!("tree/mod.rs"),
    include_str!("tree/bulk.rs"),
    include_str!("tree/odd.rs"),
    include_str!("tree/programs.rs"),
    include_str!("../../tests/acceptance/listing.sh"),
    include_str!("../../tests/acceptance/go/static.go"),
    include_str!("../../tests/acceptance/c/greeting.c"),
    include_str!("../../tests/acceptance/c/hello.c"),
    include_str!("../../tests/acceptance/c/exec-cases.c"),
    include_str!("../../tests/acceptance/c/project/Makefile"),
    include_str!("../../tests/acceptance/c/project/main.c"),
    include_str!("../../tests/acceptance/c/project/parse.c"),
];

/// An image of the full tree: its name, and mke2fs's options.
pub struct Recipe {
    /// The file name without `.img`.
    pub name: &'static str,
    /// The file system type, as mount(8) names it.
    pub kind: &'static str,
    options: &'static [&'static str],
    size: &'static str,
}

/// The images of the acceptance list.
pub const RECIPES: [Recipe; 6] = [
    Recipe {
        name: "ext2-1k",
        kind: "ext2",
        options: &["-b", "1024"],
        size: "640M",
    },
    Recipe {
        name: "ext2-4k",
        kind: "ext2",
        options: &["-b", "4096"],
        size: "768M",
    },
    Recipe {
        name: "ext3",
        kind: "ext3",
        options: &["-b", "4096"],
        size: "768M",
    },
    Recipe {
        name: "ext4",
        kind: "ext4",
        options: &[],
        size: "768M",
    },
    Recipe {
        name: "ext4-1k-inline",
        kind: "ext4",
        options: &["-b", "1024", "-O", "inline_data"],
        size: "640M",
    },
    Recipe {
        name: "ext4-bigalloc",
        kind: "ext4",
        options: &["-O", "bigalloc", "-C", "16384"],
        size: "1024M",
    },
];

/// Builds what is missing or of another version.
pub fn task() -> Result<()> {
    let fixtures = project::fixtures();
    project::public_directory(&fixtures)?;
    part(&fixtures, "tree", |_| {
        let tree = fixtures.join("tree");
        clear(&tree)?;
        tree::build(&tree, user::ids()?)?;
        expected(
            &tree,
            &fixtures.join("expected"),
            &["attributes", "xattrs", "sha256-quick", "tar-quick"],
        )
    })?;
    for recipe in &RECIPES {
        part(&fixtures, recipe.name, |stage| {
            make(
                stage,
                recipe.kind,
                recipe.options,
                recipe.size,
                "26000",
                &fixtures.join("tree"),
            )
        })?;
    }
    part(&fixtures, "bench", |stage| {
        let directory = fixtures.join("bench");
        clear(&directory)?;
        project::public_directory(&directory)?;
        tree::build_bench(&directory.join("tree"), user::ids()?)?;
        make(stage, "ext4", &[], "64M", "8000", &directory.join("tree"))
    })?;
    part(&fixtures, "damage", |stage| {
        let small = fixtures.join("damage-tree");
        clear(&small)?;
        tree::build_small(&small)?;
        make(stage, "ext4", &["-b", "1024"], "6M", "1600", &small)
    })?;
    println!("images: complete in {}", fixtures.display());
    Ok(())
}

/// Runs `build` unless the part's stamp has the present version. `build` gets a temporary image name, moved into place after.
fn part(fixtures: &Path, name: &str, build: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let stamp = fixtures.join(format!(".{name}.stamp"));
    let mut hasher = DefaultHasher::new();
    (SOURCES, user::ids()?).hash(&mut hasher);
    let version = format!("{:016x}", hasher.finish());
    if std::fs::read_to_string(&stamp).is_ok_and(|text| text == version) {
        return Ok(());
    }
    let start = std::time::Instant::now();
    let stage = fixtures.join(format!(".{name}.img.new"));
    let _ = std::fs::remove_file(&stage);
    build(&stage)?;
    if stage.exists() {
        at(
            &stage,
            std::fs::rename(&stage, fixtures.join(format!("{name}.img"))),
        )?;
    }
    at(&stamp, std::fs::write(&stamp, version))?;
    println!(
        "images: {name} built in {:.1} s",
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Makes one image that the test user owns, and lets e2fsck confirm that it is sound.
pub fn make(
    image: &Path,
    kind: &str,
    options: &[&str],
    size: &str,
    inodes: &str,
    tree: &Path,
) -> Result<()> {
    let fixed = [
        "-q",
        "-F",
        "-m",
        "0",
        "-U",
        "6f1cbd60-3a4c-4c34-9d5e-5e0e7c9a2f01",
        "-L",
        "fixture",
    ];
    output(
        command(setup::found("mke2fs"))
            .args(fixed)
            .args([
                "-E",
                "hash_seed=6f1cbd60-3a4c-4c34-9d5e-5e0e7c9a2f02",
                "-t",
                kind,
                "-N",
                inodes,
            ])
            .args(options)
            .arg("-d")
            .arg(tree)
            .arg(image)
            .arg(size),
    )?;
    if options.contains(&"inline_data") {
        mend_sizes(image, tree)?;
    }
    let check = command(setup::found("e2fsck"))
        .args(["-fn"])
        .arg(image)
        .output()
        .map_err(|error| format!("e2fsck: {error}"))?;
    if !check.status.success() {
        return Err(format!(
            "e2fsck {}: {}",
            image.display(),
            String::from_utf8_lossy(&check.stdout)
        ));
    }
    give(image)
}

/// With inline_data, mke2fs 1.47 forgets the length of a file whose last block holds only zeros. Sets it with debugfs.
fn mend_sizes(image: &Path, tree: &Path) -> Result<()> {
    let mut requests = String::new();
    let mut pending = vec![tree.to_path_buf()];
    while let Some(directory) = pending.pop() {
        for entry in at(&directory, std::fs::read_dir(&directory))?.flatten() {
            let path = entry.path();
            let metadata = at(&path, path.symlink_metadata())?;
            if metadata.is_dir() {
                pending.push(path);
            } else if metadata.is_file()
                && metadata.len() > 0
                && ends_in_zeros(&path, metadata.len())?
            {
                let name = path.strip_prefix(tree).unwrap_or(&path).display();
                requests.push_str(&format!(
                    "set_inode_field /{name} size {}\n",
                    metadata.len()
                ));
            }
        }
    }
    let file = image.with_extension("requests");
    at(&file, std::fs::write(&file, requests))?;
    output(
        command(setup::found("debugfs"))
            .args(["-w", "-f"])
            .arg(&file)
            .arg(image),
    )?;
    at(&file, std::fs::remove_file(&file))
}

/// Whether the last block of 1 KiB, whole or not, is all zeros.
fn ends_in_zeros(path: &Path, length: u64) -> Result<bool> {
    let start = (length - 1) / 1024 * 1024;
    let mut tail = vec![0; (length - start) as usize];
    let file = at(path, std::fs::File::open(path))?;
    at(path, file.read_exact_at(&mut tail, start))?;
    Ok(tail.iter().all(|&byte| byte == 0))
}

/// Makes `path` readable by all and owned by the test user.
fn give(path: &Path) -> Result<()> {
    at(
        path,
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)),
    )?;
    if project::is_root() {
        let (uid, gid) = user::ids()?;
        at(path, chown(path, Some(uid), Some(gid)))?;
    }
    Ok(())
}

/// Has native tools describe the tree, with the eyes of the user who built it (root may read all).
fn expected(tree: &Path, directory: &Path, listings: &[&str]) -> Result<()> {
    project::public_directory(directory)?;
    let script = project::root().join("tests/acceptance/listing.sh");
    for what in listings {
        let file = directory.join(what);
        let out = at(&file, std::fs::File::create(&file))?;
        run(command("sh").arg(&script).arg(what).arg(tree).stdout(out))?;
    }
    Ok(())
}

/// The descriptions that only a full test run compares: those with the sparse 5 GB file.
pub fn full_expected() -> Result<()> {
    let fixtures = project::fixtures();
    part(&fixtures, "full", |_| {
        expected(
            &fixtures.join("tree"),
            &fixtures.join("expected"),
            &["sha256", "tar"],
        )
    })
}

/// Removes a directory tree that an earlier version left.
pub fn clear(directory: &Path) -> Result<()> {
    if directory.symlink_metadata().is_err() {
        return Ok(());
    }
    run(command("chmod").args(["-R", "u+rwX"]).arg(directory))?;
    at(directory, std::fs::remove_dir_all(directory))
}
