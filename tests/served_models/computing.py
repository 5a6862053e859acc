"""A model that squares each row's number ``by`` a library that starts processes, or keeps what it has compiled."""

import operator

from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


def square(number):
    return number * number


def by_loky(number):
    """joblib's own processes, which are started anew and talk through /dev/shm and semaphores."""
    from joblib import Parallel, delayed

    # A function of this file could not be found: no process but the worker's has loaded the file.
    return sum(Parallel(n_jobs=2, backend="loky")(delayed(operator.mul)(number, number) for _ in range(2))) / 2


def by_numba(number):
    """Compiled, and the result kept in a file."""
    import numba

    return numba.njit(cache=True)(square)(number)


def by_torch(number):
    """A data loader with a process of its own."""
    import torch

    loader = torch.utils.data.DataLoader(torch.tensor([number]), num_workers=1)
    return sum(float(batch[0]) ** 2 for batch in loader)


class Computing(PythonModel):
    """``by`` says how, ``number`` what."""

    def predict(self, context, model_input, params=None):
        ways = {"loky": by_loky, "numba": by_numba, "torch": by_torch}
        return [ways[row.by](row.number) for row in model_input.itertuples()]


set_model(Computing())
