/* SPDX-License-Identifier: MIT */
/* Temporary folders and a text for tests that train. */
#ifndef EGG_TESTS_RUN_FOLDER_H
#define EGG_TESTS_RUN_FOLDER_H

enum { RUN_FOLDER_BYTES = 512 };

void folder_make(char folder[RUN_FOLDER_BYTES]);        /* a new one under $TMPDIR or /tmp */
void folder_remove(const char *folder);                 /* with all in it */
void folder_copy(const char *from, const char *to);     /* the files in it */
void file_copy(const char *from, const char *to);
void folder_path(char path[RUN_FOLDER_BYTES], const char *folder, const char *name);

/* Writes a text of some kilobytes with separators into 'folder'; 'path' becomes its name. The same every time. */
void text_make(const char *folder, char path[RUN_FOLDER_BYTES]);

#endif
