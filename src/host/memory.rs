//! What only the start of a program needed, given back.
//!
//! ```text
//!   program, libc …   headers, code, tables    read only: [`forget_start`] unmaps them; what is used again comes back from the
//!                                              page cache, a few pages at a time, without a read from the disk
//!                     relocated tables, data   written to: left alone
//! ```
//!
//! Parsing a command line and a configuration, setting TLS up and saying hello to everybody go through far more code than
//! waiting does. Pages of code are shared by all who run the program; unmapped, they no longer count as this process's own.

use std::ffi::{c_int, c_void};

/// Unmaps what of the program's and its libraries' code and constants has been used so far. Cheap, and harmless at any time.
#[allow(unsafe_code, reason = "the loaded objects and madvise have no safe counterpart among our dependencies")]
pub fn forget_start() {
    // SAFETY: `forget` is called for each loaded object, with a description that is valid during that call.
    unsafe { libc::dl_iterate_phdr(Some(forget), std::ptr::null_mut()) };
}

/// Forgets the segments of one loaded object that nobody may write to.
#[allow(unsafe_code, reason = "called by dl_iterate_phdr, and gives its memory back")]
unsafe extern "C" fn forget(object: *mut libc::dl_phdr_info, _: usize, _: *mut c_void) -> c_int {
    // SAFETY: dl_iterate_phdr hands a valid description with `dlpi_phnum` program headers.
    let (object, headers) = unsafe {
        let object = &*object;
        (object, std::slice::from_raw_parts(object.dlpi_phdr, usize::from(object.dlpi_phnum)))
    };
    // SAFETY: only reads a constant of the machine.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    for segment in headers.iter().filter(|it| it.p_type == libc::PT_LOAD && it.p_flags & libc::PF_W == 0) {
        let begin = object.dlpi_addr as usize + segment.p_vaddr as usize;
        let first = begin / page * page;
        let length = (begin + segment.p_memsz as usize).next_multiple_of(page) - first;
        // SAFETY: a segment without PF_W is a private mapping of a file that is never written, not by the linker either: position
        // independent code for these machines has no relocations in it. So its pages are equal to the file's, and come back from there.
        // Where the kernel refuses, the memory stays as it is.
        unsafe { libc::madvise(first as *mut c_void, length, libc::MADV_DONTNEED) };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs::{self, File},
        os::unix::fs::FileExt as _,
    };

    /// Begin, end and resident KiB of this program's code.
    fn code() -> (u64, u64, u64) {
        let maps = fs::read_to_string("/proc/self/smaps").unwrap();
        let exe = fs::read_link("/proc/self/exe").unwrap();
        let mut lines = maps.lines();
        let head = lines.find(|line| line.contains(" r-xp ") && line.ends_with(exe.to_str().unwrap())).unwrap();
        let (begin, end) = head.split_once(' ').unwrap().0.split_once('-').unwrap();
        let resident = lines.find_map(|line| line.strip_prefix("Rss:")).unwrap();
        let hex = |text| u64::from_str_radix(text, 16).unwrap();
        (hex(begin), hex(end), resident.trim().trim_end_matches(" kB").parse().unwrap())
    }

    #[test]
    fn what_was_used_once_is_no_longer_resident_and_still_works() {
        let (begin, end, _) = code();
        let mut bytes = vec![0; usize::try_from(end - begin).unwrap()];
        File::open("/proc/self/mem").unwrap().read_exact_at(&mut bytes, begin).unwrap();
        let (_, _, used) = code();
        assert!(used * 1024 > (end - begin) / 2, "reading maps it: {used} KiB of {}", (end - begin) / 1024);
        forget_start();
        let (_, _, left) = code();
        assert!(left < used / 2, "{left} of {used} KiB are left");
        let again = File::open("/proc/self/mem").unwrap().read_exact_at(&mut bytes, begin);
        assert!(again.is_ok() && !bytes.iter().all(|byte| *byte == 0));
    }
}
