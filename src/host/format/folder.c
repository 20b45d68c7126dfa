#include "format/folder.h"

#include "format/file.h"

#include <errno.h>
#include <sys/stat.h>

dk_status dki_folder_identify(const char *path, dki_folder_id *id) {
    struct stat info;
    *id = (dki_folder_id){0};
    if (stat(path, &info) != 0) return dki_file_fail(path, "read", errno);
    *id = (dki_folder_id){true, (uint64_t)info.st_dev, (uint64_t)info.st_ino};
    return DK_OK;
}
