from charlstm.api import Model as Model
from charlstm.api import Pace as Pace
from charlstm.api import Score as Score
from charlstm.api import Selection as Selection
from charlstm.api import Training as Training
from charlstm.api import load as load
from charlstm.api import train as train

__version__: str
