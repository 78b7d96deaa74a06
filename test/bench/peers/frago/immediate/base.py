from django.db.backends.sqlite3 import base


class DatabaseWrapper(base.DatabaseWrapper):
    """
    SQLite whose transactions take the write lock at their begin. One that reads first cannot wait for the lock after
    that, and chunks sent in parallel fail with "database is locked", however long the timeout. Later versions of
    Django have an option for it.
    """

    def _start_transaction_under_autocommit(self):
        self.cursor().execute("BEGIN IMMEDIATE")
